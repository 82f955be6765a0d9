from .counterfactual import turn_knobs as turn_knobs
from .ground_truth import compare_with_truth as compare_with_truth
from .ground_truth import true_effects as true_effects
from .simulated_readers import simulate_review as simulate_review
from .true_risk_curves import risks_in_truth as risks_in_truth
