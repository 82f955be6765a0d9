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
.PHONY: help setup reproduce status test lint lab notebooks from-notebooks figures encoders sample-size lock clean \
  bench bench-model bench-federation bench-slides bench-readers bench-memory bench-interpret bench-compare \
  studies calibration realism interval-coverage training-length heterogeneity privacy-tradeoff morphometry-validation \
  federation fault-injection fault-injection-three giant-slide real-slide

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 24

setup: .venv/.ready  ## create the environment in .venv

# Two locks: what a user needs, and what developers need on top (one of its packages is built from C).
.venv/.ready: requirements.lock.txt pyproject.toml
	@test -n "$(PYTHON)" && $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11, 5))' || \
	  { echo "sarcnet needs Python 3.11.5 or newer; found '$(PYTHON)'. Name another one: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@echo "Creating the environment in .venv (about 2 GB; one to four minutes, once)"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.12.20,<0.13'
	$(call install,requirements.lock.txt)
	$(BIN)/python -m pip install --quiet --no-deps -e .
	@touch $@

.venv/.ready-dev: .venv/.ready requirements-dev.lock.txt
	@echo "Adding what tests and studies need"
	$(call install,requirements-dev.lock.txt)
	@touch $@

define install
$(BIN)/uv pip install --quiet --python $(BIN)/python $(UVINDEX) -r $(1) || \
  { echo "uv could not install the pins; pip tries"; $(BIN)/python -m pip install --quiet $(INDEX) -r $(1); }
endef

reproduce: .venv/.ready  ## run the whole study: PROFILE=demo|smoke|study; FROM= ONLY= UPTO= name a stage, FORCE=1
	@$(BIN)/sarcnet run $(PROFILE) $(RUNARGS)

status: .venv/.ready  ## say which stages are up to date, and why not, without running
	@$(BIN)/sarcnet status $(PROFILE)

test: lint  ## all checks and tests, the smoke study among them
	@$(BIN)/python -m pytest -n 2

lint: .venv/.ready-dev
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports --no-logo --no-cache

lab: .venv/.ready  ## open JupyterLab on the notebooks
	@$(BIN)/jupyter labextension disable "@jupyterlab/apputils-extension:announcements" 2>/dev/null || true
	$(BIN)/jupyter lab notebooks

notebooks: .venv/.ready  ## write notebooks/*.ipynb from notebooks/src/*.py
	@$(BIN)/sarcnet notebooks

from-notebooks: .venv/.ready  ## write notebooks/src/*.py from notebooks edited in JupyterLab
	@$(BIN)/sarcnet notebooks --from-ipynb

figures: .venv/.ready  ## copy the demo run's figures and numbers to figures/ and renew the README's table
	@$(BIN)/sarcnet publish demo

bench: .venv/.ready-dev  ## time a slide, and whole profiles from nothing (PROFILES="smoke demo study")
	@$(BIN)/python -m studies.benchmarks.rendering $(ARGS)
	@$(BIN)/python -m studies.benchmarks.profiles $(PROFILES)

bench-model: .venv/.ready-dev  ## time the study's cross-validation, and the paired bootstrap against loops over scikit-survival
	@$(BIN)/python -m studies.benchmarks.crossval
	@$(BIN)/python -m studies.benchmarks.bootstrap

bench-federation: .venv/.ready-dev  ## time federated against pooled training, of a finished run (ARGS="--run runs/demo")
	@$(BIN)/python -m studies.benchmarks.federation $(ARGS)

bench-slides: .venv/.ready-dev  ## time slides to features beside other tools, in docs/benchmark-slides.md (REAL=slide FOLDER=data/bench)
	@$(BIN)/python -m studies.benchmarks.slides.run $(if $(REAL),--real $(REAL)) $(if $(FOLDER),--folder $(FOLDER))

bench-readers: .venv/.ready-dev  ## time the direct reader against OpenSlide, every tile compared (SLIDES="a.svs b.tif")
	@$(BIN)/python -m studies.benchmarks.slides.readers $(SLIDES) $(ARGS)

bench-memory: .venv/.ready-dev  ## peak memory of reading 10,000 and 100,000 tiles
	@$(BIN)/python -m studies.benchmarks.slides.memory $(ARGS)

bench-interpret: .venv/.ready-dev  ## time morphometry, a heat map of 100,000 tiles and the viewer's first picture
	@$(BIN)/python -m studies.benchmarks.interpret

bench-compare: .venv/.ready-dev  ## time another checkout against this one, in turns (BASE=folder of the other checkout)
	@$(BIN)/python -m studies.benchmarks.compare $(BASE) $(ARGS)

# Studies of the methods: `make studies` says what each asks. ARGS passes options on: make heterogeneity ARGS=--help
studies: .venv/.ready-dev  ## list the studies of the methods, what each asks and where its answer stands
	@$(BIN)/python -m studies

calibration: .venv/.ready-dev
	@$(BIN)/python -m studies.cohort_calibration --report docs/calibration.md $(ARGS)

realism: .venv/.ready-dev
	@$(BIN)/python -m studies.realism $(ARGS)

interval-coverage: .venv/.ready-dev
	@$(BIN)/python -m studies.interval_coverage $(ARGS)

training-length: .venv/.ready-dev
	@$(BIN)/python -m studies.training_length $(ARGS)

heterogeneity: .venv/.ready-dev
	@$(BIN)/python -m studies.heterogeneity $(ARGS)

privacy-tradeoff: .venv/.ready-dev
	@$(BIN)/python -m studies.privacy_tradeoff $(ARGS)

morphometry-validation: .venv/.ready-dev
	@$(BIN)/python -m studies.morphometry_validation.run $(ARGS)

federation: .venv/.ready-dev  ## train over real programs (SuperLink, two SuperNodes, TLS, keys); the smoke model must come out
	@$(BIN)/sarcnet run smoke --upto 04_federation
	@$(BIN)/python -m studies.local_federation.run --run runs/smoke $(ARGS)

fault-injection: .venv/.ready-dev
	@$(BIN)/sarcnet run smoke --upto 04_federation
	@$(BIN)/python -m studies.fault_injection.two_hospitals --run runs/smoke $(ARGS)

fault-injection-three: .venv/.ready-dev
	@$(BIN)/python -m studies.fault_injection.three_hospitals $(ARGS)

giant-slide: .venv/.ready  ## paint a whole virtual slide, 80,000 × 60,000 px (OUT=giant.svs ARGS="--width-px 8000 --height-px 6000")
	@$(BIN)/python -m virtual_cohort.rendering.giant $(or $(OUT),data/giant.svs) $(ARGS)

sample-size: .venv/.ready  ## how many patients the statistical analysis plan needs
	@$(BIN)/python -m studies.sample_size

encoders: .venv/.ready  ## write docs/encoders.md from the table of encoders
	@$(BIN)/python -m docs.make_encoders

real-slide: .venv/.ready  ## fetch one real, public Aperio slide and run notebooks 00 to 02 on it
	@$(BIN)/python -m studies.example_slide
	@$(BIN)/sarcnet run real_slide --upto 02_features

lock: .venv/.ready  ## bring the pins in line with pyproject.toml; what is pinned stays, unless UPGRADE=1
	@$(call compile,requirements.lock.txt,,/dev/null)
	@$(call compile,requirements-dev.lock.txt,--extra dev -c requirements.lock.txt,requirements.lock.txt)

# $(1): lock to write; $(2): options of uv; $(3): lock whose lines are left out. The CPU build of torch is taken, and pinned
# without the build's name; uv drops the marker of the one package that is not made for every processor.
define compile
{ sed -n '/^#/p' $(1); grep -hv '^#' $(1) $(3) | sed 's/^torch==.*/&+cpu/' > .lock.pins; \
  $(BIN)/uv pip compile -q pyproject.toml $(2) $(if $(UPGRADE),--upgrade) $(UVINDEX) --python-version 3.11.7 --no-annotate --no-header \
  --no-emit-find-links --no-emit-index-url -o .lock.pins > /dev/null && \
  sed "s/+cpu//; s/^cykooz-resizer==[^ ]*$$/& ; platform_machine != 'aarch64'/" .lock.pins | grep -vxFf $(3); } > .lock.new && \
  mv .lock.new $(1); rm -f .lock.pins .lock.new
endef

clean:  ## remove runs and rendered cohorts (not the environment)
	rm -rf runs data/virtual_*
