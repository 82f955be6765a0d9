"""PROBAST+AI: where a prediction study may be biased (Moons et al., BMJ 2025;388:e082505), answered by domain."""

from sarcnet.evaluation.checklists import (
    FOLDERS,
    FOLDS,
    FOLLOWED,
    LATER,
    NETWORK,
    SUBGROUPS,
    TRUE,
    TRUTH,
    YARDSTICK,
    Item,
)

PROBAST_AI = (
    Item(
        "D1",
        "Development: participants and data",
        "The series of both hospitals as given; {simulated}",
        (FOLDERS,),
    ),
    Item(
        "D2",
        "Development: predictors",
        "Defined alike for all, known at diagnosis or operation, read without the outcome; treatment is not "
        "among them. Stain and scanner differ between hospitals.",
        (
            NETWORK,
            ("02_features", "Stain and scanner"),
        ),
    ),
    Item(
        "D3",
        "Development: outcome",
        "One definition with its horizon; predictors are no part of it; death competes.",
        (FOLLOWED,),
    ),
    Item(
        "D4",
        "Development: analysis",
        "{events_training} metastases in {n_training} patients: {enough_training}; missing values filled "
        "inside folds; no patient in two folds; nothing tuned on the validation series.",
        (FOLDS,),
    ),
    Item(
        "E1",
        "Evaluation: participants and data",
        "The same hospitals later: {n_validation} patients; not external by place.",
        (LATER,),
    ),
    Item(
        "E2",
        "Evaluation: predictors",
        "Taken as in development; histotypes nobody was trained on are named.",
        (LATER,),
    ),
    Item(
        "E3",
        "Evaluation: outcome",
        "As in development, with shorter watch: {lost_validation} lost before the horizon.",
        (YARDSTICK,),
    ),
    Item(
        "E4",
        "Evaluation: sample size",
        "{events_validation} metastases in the validation series: {enough_validation} (100 is the usual "
        "least, Collins et al., Statistics in Medicine 2016).",
        (LATER,),
    ),
    Item(
        "E5",
        "Evaluation: censoring and competing death",
        "Weighted, and compared with leaving the lost out.",
        (YARDSTICK,),
    ),
    Item(
        "E6",
        "Evaluation: calibration as well as discrimination",
        "Slope {slope}, intercept {intercept}, ICI {ici}.",
        (TRUE,),
    ),
    Item(
        "E7",
        "Evaluation: optimism",
        "Cross-validated {auc_cv}, validation {auc_validation}.",
        (LATER,),
    ),
    Item(
        "E8",
        "Evaluation: fairness",
        "{heterogeneity}.",
        (SUBGROUPS,),
    ),
    Item(
        "A",
        "Applicability",
        "{applicability}",
        (TRUTH,),
    ),
)
