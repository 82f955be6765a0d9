"""TRIPOD+AI: how a prediction model is to be reported (Collins et al., BMJ 2024;385:e078378), 27 items, answered."""

from sarcnet.evaluation.checklists import (
    COHORT,
    DECIDE,
    FOLDERS,
    FOLDS,
    FOLLOWED,
    FOUND,
    GROUPS,
    LATER,
    LEFT_OUT,
    NETWORK,
    SUBGROUPS,
    SURE,
    TRUE,
    YARDSTICK,
    Item,
)

TRIPOD_AI = (
    Item(
        "1",
        "Title",
        "Development and evaluation of a model of slides and clinical variables for metastasis within "
        "{horizon}, soft-tissue sarcoma of limbs and trunk wall. Data: {kind}.",
    ),
    Item(
        "2",
        "Abstract",
        "The paragraph under the heading, written from the run's numbers.",
        (FOUND,),
    ),
    Item(
        "3a",
        "Context and rationale",
        "Metastasis decides on chemotherapy; grade and clinical scores tell it imperfectly.",
        (("00_cohort", "The patients and their slides"),),
    ),
    Item(
        "3b",
        "Target population, use, users",
        "Patients with soft-tissue sarcoma of limbs and trunk wall with a complex genomic profile; to teach "
        "and to test methods, not for care.",
    ),
    Item(
        "3c",
        "Health inequalities",
        "AUC by sex and age; ethnicity and social status are not recorded.",
        (SUBGROUPS,),
    ),
    Item(
        "4",
        "Objectives",
        "Whether the model tells patients apart better than grade and clinical score, and whether federation "
        "costs anything (margin {margin} AUC, set beforehand).",
        (SURE,),
    ),
    Item(
        "5a",
        "Data sources",
        "{centres}; training series {n_training}, validation series collected afterwards {n_validation}. {simulated}",
        (FOLDERS,),
    ),
    Item(
        "5b",
        "Dates",
        "{dates}",
        (FOLLOWED,),
    ),
    Item(
        "6a",
        "Setting",
        "Hospitals: {centres}.",
        (COHORT,),
    ),
    Item(
        "6b",
        "Eligibility",
        "As the rows of patients.csv; training patients without a known outcome ({n_unknown}) are not judged.",
        (FOLDERS,),
    ),
    Item(
        "6c",
        "Treatments",
        "Chemotherapy and radiotherapy are recorded, are no predictors, and change the outcome: risks hold "
        "under the treatment given.",
        (COHORT,),
    ),
    Item(
        "7",
        "Data preparation",
        "Tissue, pen, blur and blank are scored tile by tile with the same limits at every hospital; every "
        "slide has a row in the report.",
        (("01_tiling", "The slide report"),),
    ),
    Item(
        "8a",
        "Outcome and horizon",
        "First metastasis within {horizon}; death without metastasis competes; months and kind of event in "
        "patients.csv.",
        (FOLLOWED,),
    ),
    Item(
        "8b",
        "Assessors of the outcome",
        "{not_recorded}",
    ),
    Item(
        "8c",
        "Blinding of the outcome",
        "{not_recorded}",
    ),
    Item(
        "9a",
        "Choice of predictors",
        "Tiles of the slide, and {clinical_variables}; chosen before anything was trained.",
        (NETWORK,),
    ),
    Item(
        "9b",
        "Definition of predictors",
        "Names, units, ranges and allowed values are the schema of patients.csv; tiles are squares on the glass, in µm.",
        (
            FOLDERS,
            ("01_tiling", "Micrometres, not magnification"),
        ),
    ),
    Item(
        "9c",
        "Assessors of predictors",
        "{not_recorded}",
    ),
    Item(
        "10",
        "Sample size",
        "{n_training} and {n_validation} patients with {events_training} and {events_validation} metastases "
        "by the horizon; widths of the intervals say what they can prove.",
        (SURE,),
    ),
    Item(
        "11",
        "Missing data",
        "Up to {missing} of a predictor are missing; filled from training patients alone.",
        (
            COHORT,
            LEFT_OUT,
        ),
    ),
    Item(
        "12a",
        "Partition",
        "{folds} folds, {repeats} repeats, by patient, stratified by hospital and event; validation series "
        "opened once.",
        (
            FOLDS,
            LATER,
        ),
    ),
    Item(
        "12b",
        "Handling of predictors",
        "Standardised with moments of training patients.",
        (("03_model", "A bag of tiles"),),
    ),
    Item(
        "12c",
        "Model and building",
        "A network on tiles and clinical variables that predicts hazards in intervals of time; settings stand"
        " in the profile.",
        (NETWORK,),
    ),
    Item(
        "12d",
        "Heterogeneity between hospitals",
        "AUC in each hospital, and each hospital's own model judged in the other.",
        (SUBGROUPS,),
    ),
    Item(
        "12e",
        "Measures",
        "AUC, concordance, Brier score, calibration, net benefit, all weighted for censoring and with death "
        "competing; {samples} resamples, {level} intervals.",
        (
            YARDSTICK,
            TRUE,
            DECIDE,
        ),
    ),
    Item(
        "12f",
        "Updating",
        "None: risks are judged as they were predicted.",
        (TRUE,),
    ),
    Item(
        "12g",
        "How predictions were made",
        "Out of fold in training; the mean over all members of a stored stack in the validation series.",
        (
            LEFT_OUT,
            LATER,
        ),
    ),
    Item(
        "13",
        "Class imbalance",
        "Nothing was resampled or reweighted; {share_events} had a metastasis by the horizon.",
        (YARDSTICK,),
    ),
    Item(
        "14",
        "Fairness",
        "AUC and difference in subgroups with tests of heterogeneity: {heterogeneity}.",
        (SUBGROUPS,),
    ),
    Item(
        "15",
        "Model output",
        "A probability of metastasis within {horizon}; the cut-off {cut} is the training patients' quantile.",
        (GROUPS,),
    ),
    Item(
        "16",
        "Training against evaluation",
        "The same hospitals, later patients, watched for less time: temporal, not geographical, validation.",
        (LATER,),
    ),
    Item(
        "17",
        "Ethical approval",
        "{ethics}",
    ),
    Item(
        "18a",
        "Funding",
        "To be stated by who reports a study.",
    ),
    Item(
        "18b",
        "Conflicts of interest",
        "To be stated by who reports a study.",
    ),
    Item(
        "18c",
        "Protocol",
        "The profile of the run holds every setting; stage.json repeats it with checksums.",
        (("03_model", "Kept for the notebooks to come"),),
    ),
    Item(
        "18d",
        "Registration",
        "None.",
    ),
    Item(
        "18e",
        "Data sharing",
        "{sharing}",
    ),
    Item(
        "18f",
        "Code sharing",
        "All code, pinned dependencies, one command; Apache-2.0.",
        (("05_evaluation", "Kept"),),
    ),
    Item(
        "19",
        "Patient and public involvement",
        "None.",
    ),
    Item(
        "20a",
        "Flow of participants",
        "{n_training} training, {n_validation} validation; metastases {events_training} and "
        "{events_validation}; lost before the horizon {lost_training} and {lost_validation}.",
        (YARDSTICK,),
    ),
    Item(
        "20b",
        "Characteristics",
        "Table 1 by hospital and series.",
        (COHORT,),
    ),
    Item(
        "20c",
        "Evaluation against development data",
        "The same table sets both series side by side.",
        (COHORT,),
    ),
    Item(
        "21",
        "Participants and events in each analysis",
        "Numbers of patients and metastases stand in every table and figure.",
        (SUBGROUPS,),
    ),
    Item(
        "22",
        "Full model",
        "Weights and description of every model as safetensors and JSON in 03_model/models and 04_federation/models.",
        (("03_model", "Kept for the notebooks to come"),),
    ),
    Item(
        "23a",
        "Performance",
        "Cross-validated AUC of {chief} {auc_cv}; validation {auc_validation}; calibration slope {slope}, ICI {ici}.",
        (
            SURE,
            LATER,
            TRUE,
        ),
    ),
    Item(
        "23b",
        "Heterogeneity of performance",
        "By hospital: {auc_by_centre}.",
        (SUBGROUPS,),
    ),
    Item(
        "24",
        "Updating results",
        "None was made.",
    ),
    Item(
        "25",
        "Interpretation",
        "{verdict}",
        (FOUND,),
    ),
    Item(
        "26",
        "Limitations",
        "Under the heading of each notebook.",
        (FOUND,),
    ),
    Item(
        "27a",
        "Poor or missing input at use",
        "A slide without µm/px is refused, unreadable tiles are dropped and counted, missing clinical values "
        "filled; a patient without slide still gets a risk.",
        (("01_tiling", "The slide report"),),
    ),
    Item(
        "27b",
        "Users' expertise",
        "None needed to run it; the result is not for care.",
    ),
    Item(
        "27c",
        "Future research",
        "Other hospitals, real patients, and what the model saw.",
        (("06_interpretability", "Against the truth"),),
    ),
)
