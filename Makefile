# `make reproduce` and `make test` do everything; each creates the environment when it is missing.
PROFILE ?= demo
PYTHON  ?= $(shell command -v python3.11 || command -v python3)
BIN     := .venv/bin
# Where pip finds more wheels; uv has its own name for it. TORCH_INDEX may name PyTorch's CPU index (see README).
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
# uv leaves compiling to the first import; an environment that forbids Python to keep the result compiles at each start.
export PYTHONDONTWRITEBYTECODE :=
INDEX   := $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
UVINDEX := $(if $(TORCH_INDEX),--index $(TORCH_INDEX) --index-strategy unsafe-best-match)
RUNARGS := $(if $(FROM),--from $(FROM)) $(if $(ONLY),--only $(ONLY)) $(if $(UPTO),--upto $(UPTO)) $(if $(FORCE),--force)

.DEFAULT_GOAL := help
.PHONY: help setup reproduce status test lint lab notebooks from-notebooks figures bench bench-model bench-slides bench-interpret calibration sample-size encoders real-slide federation lock clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

setup: .venv/.ready  ## create the environment in .venv

.venv/.ready: requirements.lock.txt pyproject.toml
	@test -n "$(PYTHON)" && $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11, 5))' || \
	  { echo "sarcnet needs Python 3.11.5 or newer; found '$(PYTHON)'. Name another one: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@echo "Creating the environment in .venv (about 2 GB; one to four minutes, once)"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.12.20,<0.13'
	$(BIN)/uv pip install --quiet --python $(BIN)/python $(UVINDEX) -r requirements.lock.txt || \
	  { echo "uv could not install the pins; pip tries"; $(BIN)/python -m pip install --quiet $(INDEX) -r requirements.lock.txt; }
	$(BIN)/python -m pip install --quiet --no-deps -e .
	@touch $@

reproduce: .venv/.ready  ## run the whole study: PROFILE=demo|smoke|study; FROM= ONLY= UPTO= name a stage, FORCE=1
	@$(BIN)/sarcnet run $(PROFILE) $(RUNARGS)

status: .venv/.ready  ## say which stages are up to date, and why not, without running
	@$(BIN)/sarcnet status $(PROFILE)

test: lint  ## all checks and tests, the smoke study among them
	@$(BIN)/python -m pytest -n 2

lint: .venv/.ready
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

lab: .venv/.ready  ## open JupyterLab on the notebooks
	@$(BIN)/jupyter labextension disable "@jupyterlab/apputils-extension:announcements" 2>/dev/null || true
	$(BIN)/jupyter lab notebooks

notebooks: .venv/.ready  ## write notebooks/*.ipynb from notebooks/src/*.py
	@$(BIN)/sarcnet notebooks

from-notebooks: .venv/.ready  ## write notebooks/src/*.py from notebooks edited in JupyterLab
	@$(BIN)/sarcnet notebooks --from-ipynb

figures: .venv/.ready  ## copy the demo run's figures and numbers to figures/ and renew the README's table
	@$(BIN)/sarcnet publish demo

bench: .venv/.ready  ## time a slide, and whole profiles from nothing (PROFILES="smoke demo study")
	@$(BIN)/python -m studies.benchmarks.rendering
	@$(BIN)/python -m studies.benchmarks.profiles $(PROFILES)

bench-model: .venv/.ready  ## time the study's cross-validation, and the paired bootstrap against loops over scikit-survival
	@$(BIN)/python -m studies.benchmarks.crossval
	@$(BIN)/python -m studies.benchmarks.bootstrap

bench-slides: .venv/.ready  ## time slides to features beside other tools, in docs/benchmark-slides.md (REAL=slide FOLDER=data/bench)
	@$(BIN)/python -m studies.benchmarks.slides.run $(if $(REAL),--real $(REAL)) $(if $(FOLDER),--folder $(FOLDER))

bench-interpret: .venv/.ready  ## time morphometry, a heat map of 100,000 tiles and the viewer's first picture
	@$(BIN)/python -m studies.benchmarks.interpret

calibration: .venv/.ready  ## simulate fifty studies without slides and renew docs/calibration.md
	@$(BIN)/python -m studies.cohort_calibration --report docs/calibration.md

sample-size: .venv/.ready  ## how many patients the statistical analysis plan needs
	@$(BIN)/python -m sarcnet.evaluation.sample_size

encoders: .venv/.ready  ## write docs/encoders.md from the table of encoders
	@$(BIN)/python -m docs.make_encoders

real-slide: .venv/.ready  ## fetch one real, public Aperio slide and run notebooks 00 to 02 on it
	@$(BIN)/python -m sarcnet.slides.example_slide
	@$(BIN)/sarcnet run real_slide --upto 02_features

federation: .venv/.ready  ## train over real programs (SuperLink, two SuperNodes, TLS, keys); the smoke model must come out
	@$(BIN)/sarcnet run smoke --upto 04_federation
	@$(BIN)/python -m studies.local_federation.run --run runs/smoke

lock: .venv/.ready  ## renew the pins from the ranges in pyproject.toml
	@{ sed -n '/^#/p' requirements.lock.txt; $(BIN)/uv pip compile -q pyproject.toml --extra dev --python-version 3.11.7 \
	  --no-annotate --no-header --no-emit-find-links | sed 's/+cpu//'; } > requirements.lock.tmp && mv requirements.lock.tmp requirements.lock.txt

clean:  ## remove runs and rendered cohorts (not the environment)
	rm -rf runs data/virtual_*
