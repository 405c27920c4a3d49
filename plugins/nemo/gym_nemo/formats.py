"""What `gym import --format nemo` and `gym export --format nemo` do."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from gym_core import Options, Rollout
from gym_core.spi import Exporter, ExportRequest, ImportedRun, Importer, ImportRequest
from gym_nemo.config_import import import_configuration
from gym_nemo.prompts import prompted
from gym_nemo.rows import masked_row, result_row
from gym_nemo.run_file import run_file_text
from gym_nemo.yaml_files import head_server, read_configuration, search_folders


class NemoOptions(Options):
    """The options of the format."""

    failures: Literal["left-out", "masked"] = Field(
        default="left-out", description="Rollouts that failed: left out, or rows of reward 0 with `mask_sample`."
    )


class NemoExporter(Exporter[NemoOptions]):
    """Results of gym as rows that NeMo Gym's tools read."""

    def wants_failures(self, options: NemoOptions) -> bool:
        """Where they are to be masked."""
        return options.failures == "masked"

    def rows(self, rollouts: Iterable[Rollout], request: ExportRequest[NemoOptions]) -> Iterator[Mapping[str, Any]]:
        """One row for each rollout."""
        return (masked_row(rollout.row) if rollout.reward is None else result_row(rollout.row) for rollout in rollouts)


class NemoImporter(Importer):
    """The YAML files of NeMo Gym: env.yaml, the model's, the environment's; or its head server. They run elsewhere."""

    def run_file(self, request: ImportRequest) -> ImportedRun:
        """The run that the files describe. Raises `UsageError`."""
        run = import_configuration(
            read_configuration(request.files, os.environ),
            agent=request.agent,
            dataset=request.dataset,
            urls=request.urls,
            folders=search_folders(request.files),
        )
        files = {}
        if request.folder is not None and run.template is not None:
            dataset = Path(run.options["input"])
            name = f"{dataset.stem}.prompted.jsonl"
            files[name] = prompted(dataset, run.template)
            run.options["input"] = name
        elif request.folder is not None and "input" in run.options:
            run.options["input"] = os.path.relpath(run.options["input"], request.folder)
        elif run.template is not None:
            run.notices.append(
                f"with --output, its rows are written with the prompt of {run.template}, and are the input"
            )
        return ImportedRun(run_file_text(run, _origin(request.files)), run.notices, files)


def _origin(files: Iterable[Path]) -> str:
    return ", ".join(head_server(file) or file.name for file in files)
