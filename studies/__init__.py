"""Studies of the methods themselves: what was done once to believe the rest. Each runs from a clone, by one command.

make calibration             Is the virtual cohort as hard as the real one? Over 50 simulated studies of 611 patients, the mean
                             AUCs of grade and Cox model lie in the published intervals. docs/calibration.md
make realism                 How near do rendered slides come to real ones? Needs real tiles of your own, and prints.
make interval-coverage       Do 95 % intervals hold the truth as often as they say? With 611 patients and with 160 they do; with
                             56 that of the cross-validated model misses it in one study of ten. docs/inference.md
make training-length         How long to train? As briefly as calibrates risks of patients left out, on cohorts of other seeds:
                             30 epochs for the pooled model of the demo. docs/training-length.md
make heterogeneity           How far does federated training bear hospitals that differ? FedAvg stays within 0.026 of the pooled
                             AUC, a hospital alone falls up to 0.12 behind it. docs/heterogeneity.md
make privacy-tradeoff        What does noise for privacy cost? Per patient 0.01 of AUC down to an ε of 12; per hospital, with
                             two hospitals, everything. docs/data-protection.md
make morphometry-validation  How well are nuclei outlined? Detection F1 0.72 on real fields held out. docs/interpretability.md
make federation              Do separate programs with TLS and keys train the simulation's model? To the last bit.
                             docs/federation.md
make fault-injection         What happens when a node or the server of two hospitals fails? What was promised, 10 minutes long.
make fault-injection-three   The same for three hospitals, privacy and poison: as promised, 25 minutes. docs/federation.md
make sample-size             How many patients does the statistical analysis plan need? docs/statistical-analysis-plan.md
make real-slide              Does the chain read a real Aperio slide? Fetches one (CC0) and runs notebooks 00 to 02 on it.
make bench…                  How fast, in how much memory? `make help` lists the benchmarks. docs/benchmark-slides.md
"""
