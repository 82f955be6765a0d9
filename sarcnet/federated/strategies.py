"""Strategies by name: what a hospital adds to its training, and what the server makes of the answers.

fedavg        mean of the trained weights by patients (McMahan et al., AISTATS 2017)
fedprox       the same; at home each step is also pulled towards the received weights (Li et al., MLSys 2020)
fedadam       the mean change is a gradient for Adam at the server (Reddi et al., ICLR 2021)
fedyogi       the same with Yogi's milder second moment (Reddi et al., ICLR 2021)
cyclic        the model goes from hospital to hospital, each trains on (Chang et al., JAMIA 2018)
median        coordinate-wise median of the changes, blind to n (Yin et al., ICML 2018)
trimmed_mean  mean without the highest and lowest change of each coordinate, blind to n (Yin et al., ICML 2018)
scaffold      control variates turn the steps at home towards everybody's (Karimireddy et al., ICML 2020)
patient_private  at home one clipped and noised step an epoch, so that each patient's part is hidden
              (`sarcnet.federated.privacy.dp_sgd`)

In a round every strategy but the last shows each hospital its own patients ``local_epochs`` times, so all take the same
number of gradient steps. FedBN (Li et al., ICLR 2021), which keeps batch normalisation at home, has nothing to keep
here: the network has no batch statistics, and its standardisation is agreed on before the first round.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from sarcnet.compendium.errors import ErrorCollector, SarcnetError

Combine = Literal["mean", "cyclic", "median", "trimmed_mean"]
ServerStep = Literal["replace", "adam", "yogi"]


@dataclass(frozen=True)
class StrategyConfig:
    """One strategy with its settings.

    combine: how the hospitals' changes become one; server_step: what is done with it.
    proximal: weight μ of the pull towards the received weights, of μ/2 ‖θ - θ_received‖²; 0 is none.
    server_rate, beta1, beta2, adaptivity: η, β₁, β₂ and τ of Reddi et al.; only for adam and yogi.
    clip_norm: greatest L2 norm of a hospital's change of one member; longer ones are scaled down; 0 is no limit.
    control: whether steps at home are corrected by SCAFFOLD's control variates.
    patient_clip, patient_noise: greatest L2 norm of a patient's gradient, and the standard deviation of the hospital's noise
    on their sum in units of it; 0 is none. step_length: of such a step. delta: δ for which the hospital's ε is told.
    noise_multiplier: standard deviation of the server's Gaussian noise on the sum, in units of the greatest influence of
    a hospital (needs clip_norm); 0 is none. noise_seed: root of that noise.
    """

    name: str = "fedavg"
    combine: Combine = "mean"
    server_step: ServerStep = "replace"
    proximal: float = 0.0
    server_rate: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.99
    adaptivity: float = 1e-3
    clip_norm: float = 0.0
    noise_multiplier: float = 0.0
    noise_seed: int = 0
    control: bool = False
    patient_clip: float = 0.0
    patient_noise: float = 0.0
    step_length: float = 1.0
    delta: float = 1e-3

    def __post_init__(self) -> None:
        faults = ErrorCollector()
        for name in ("proximal", "clip_norm", "noise_multiplier", "patient_clip", "patient_noise"):
            if not getattr(self, name) >= 0:
                faults.add(f"{name} is {getattr(self, name)}: give a number from 0.")
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                faults.add(f"{name} is {getattr(self, name)}: give a number from 0 to below 1.")
        if self.noise_multiplier and not self.clip_norm:
            faults.add("noise_multiplier without clip_norm protects nobody: give clip_norm as well.")
        if self.noise_multiplier and self.combine != "mean":
            faults.add(f"noise_multiplier is accounted for the mean only, not for {self.combine}: choose fedavg.")
        if self.control and (self.combine != "mean" or self.server_step != "replace"):
            faults.add("control variates go with the mean only: leave combine and server_step as scaffold has them.")
        if self.patient_noise and not self.patient_clip:
            faults.add("patient_noise without patient_clip protects nobody: give patient_clip as well.")
        if self.patient_clip and (self.control or self.proximal):
            faults.add("patient_clip replaces the training at home: leave out control and proximal.")
        if not 0 < self.delta < 1:
            faults.add(f"delta is {self.delta}: give a number between 0 and 1, below one over the number of patients.")
        if self.server_step != "replace" and not (self.server_rate > 0 and self.adaptivity > 0):
            faults.add(f"{self.name} needs server_rate and adaptivity above 0.")
        faults.raise_if_any("The strategy cannot be used")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


#: The strategies with the settings used here. FedProx's μ is chosen from the paper's own grid (0.001 to 1).
STRATEGIES = {
    strategy_config.name: strategy_config
    for strategy_config in (
        StrategyConfig("fedavg"),
        StrategyConfig("fedprox", proximal=0.1),
        StrategyConfig("fedadam", server_step="adam"),
        StrategyConfig("fedyogi", server_step="yogi"),
        StrategyConfig("cyclic", combine="cyclic"),
        StrategyConfig("median", combine="median"),
        StrategyConfig("trimmed_mean", combine="trimmed_mean"),
        StrategyConfig("scaffold", control=True),
        StrategyConfig("patient_private", patient_clip=1.0, patient_noise=3.0),
    )
}


def strategy_config(name: str, **settings: Any) -> StrategyConfig:
    """The strategy of that name, with other settings where given; raises SarcnetError for an unknown name."""
    if name not in STRATEGIES:
        raise SarcnetError(f"There is no strategy '{name}': choose {', '.join(STRATEGIES)}.")
    return replace(STRATEGIES[name], **settings)
