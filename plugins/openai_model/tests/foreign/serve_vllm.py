"""A real vLLM on the CPU, on a port of loopback, with a small model out of a file of llama.cpp."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

TEMPLATE = Path(__file__).parent / "tools.jinja"
"""The model's own knows no tools."""
_SECONDS = 900
_ALONE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    "VLLM_SERVER_DEV_MODE": "1",  # pausing and aborting
}


def save(file: Path, folder: Path) -> None:
    """Write the model of a GGUF file as vLLM reads it."""
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    model.is_quantized, model.hf_quantizer = False, None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The URL of a server of the model in a folder, and its process; both end with the block."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    command = [
        *(sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder)),
        *("--served-model-name", "smollm2", "--host", "127.0.0.1", "--port", str(port), "--dtype", "float32"),
        *("--max-model-len", "2048", "--max-num-seqs", "4", "--enforce-eager", "--chat-template", str(TEMPLATE)),
        *("--enable-auto-tool-choice", "--tool-call-parser", "hermes"),
    ]
    with (folder.parent / "vllm.log").open("wb") as log:
        process = subprocess.Popen(
            command, env={**os.environ, **_ALONE}, stdout=log, stderr=log, start_new_session=True, cwd=folder.parent
        )
    try:
        wait(f"http://127.0.0.1:{port}/health", process, folder.parent / "vllm.log")
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.terminate()
        process.wait(60)


def wait(url: str, process: subprocess.Popen[bytes], log: Path | None = None) -> None:
    """Wait until a server answers. Raises `RuntimeError` where it ends before."""
    until = time.monotonic() + _SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            if httpx.get(url, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(1)
    said = log.read_text(errors="replace")[-4000:] if log else ""
    raise RuntimeError(f"{url} does not answer\n{said}")
