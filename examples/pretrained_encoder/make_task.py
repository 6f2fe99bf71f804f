"""Write a tiny network of timm with random weights, and a task that trains on it frozen.

Run `python examples/pretrained_encoder/make_task.py definitions`. Replace the file by weights that
you downloaded, and correct the task: architecture, digest, licence and training data.
"""

import hashlib
import sys
from pathlib import Path

import timm
from safetensors.torch import save_file

ARCHITECTURE = "test_vit"
TASK = """extends     = "pretraining/symile"
description = "Symile on X-ray features of a frozen network of timm."

[encoders.cxr]
name          = "timm"
architecture  = "{architecture}"
weights       = "{weights}"
sha256        = "{sha256}"
licence       = "CC0-1.0"
training_data = []                           # random weights
frozen        = true
"""


def write_task(folder: Path) -> None:
    """Write `weights/` and a task into a catalog."""
    weights = (folder / "weights" / f"{ARCHITECTURE}.safetensors").resolve()
    weights.parent.mkdir(parents=True, exist_ok=True)
    save_file(timm.create_model(ARCHITECTURE, pretrained=False).state_dict(), weights)
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    task = folder / "tasks" / "pretraining" / "frozen_timm.toml"
    task.parent.mkdir(parents=True, exist_ok=True)
    filled = TASK.format(architecture=ARCHITECTURE, weights=weights.as_posix(), sha256=sha256)
    task.write_text(filled, encoding="utf-8")


if __name__ == "__main__":
    write_task(Path(sys.argv[1]))
