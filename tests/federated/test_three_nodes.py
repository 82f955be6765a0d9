"""Real programs: SuperLink and three SuperNodes with TLS and keys train privately, over sums the server cannot take apart.

Every message is a process: minutes on a busy machine, so it runs only where SARCNET_REAL_NODES is set. More of the kind, with
faults: `studies.fault_injection.three_hospitals`.
"""

from __future__ import annotations

import dataclasses
import os

import pandas as pd
import pytest

from sarcnet.federated.strategies import strategy_config
from studies.fault_injection.federation import three_hospitals
from studies.fault_injection.harness import SAME, compared


@pytest.mark.skipif("SARCNET_REAL_NODES" not in os.environ, reason="takes minutes where cores are shared")
def test_secure_sums_of_private_training_end_with_the_simulations_model(tmp_path):
    private = strategy_config("patient_private", patient_noise=5.0)  # whose nodes need no Lightning: half the time
    with three_hospitals(tmp_path, rounds=1, local_epochs=1, seed=7, deadline_s=1800, limit_s=3600) as three:
        plan = dataclasses.replace(three.plan, strategy=private, secure_sum=True)
        three.submit(plan, tmp_path / "out")
    simulated = three.simulate(plan, "simulated")[1]
    assert compared(simulated, tmp_path / "out").startswith(SAME)
    start = three.simulate(dataclasses.replace(plan, rounds=2), "longer")[1]  # the comparison can fail
    assert not compared(start, tmp_path / "out").startswith(SAME)
    sent = pd.read_parquet(tmp_path / "out" / "messages.parquet").query("to == 'server' and shape != ''")
    assert set(sent["from"]) == set(plan.hospitals)
    assert set(sent["dtype"]) == {"uint32", "uint64"}  # masked: nothing readable reached the server
