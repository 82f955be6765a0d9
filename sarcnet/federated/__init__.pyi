from .config import FederationConfig as FederationConfig
from .engines.simulation import LocalFederation as LocalFederation
from .engines.simulation import run_in_process as run_in_process
from .engines.simulation import simulate as simulate
from .hospital_folder import write_hospital as write_hospital
from .settings import FederationSettings as FederationSettings
