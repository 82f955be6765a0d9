from .heterogeneity import judge_subgroups as judge_subgroups
from .risk_groups import cut_off as cut_off
from .risk_groups import fates as fates
from .risk_groups import moves_of as moves_of
from .risk_groups import survival_of as survival_of
