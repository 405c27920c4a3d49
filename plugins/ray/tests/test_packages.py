"""What is sent to the nodes of a cluster, and what is fetched there."""

from __future__ import annotations

import json
from pathlib import Path

from gym_ray.packages import environment
from gym_testing.isolation import IsolatedPlugins


def metadata(plugins: IsolatedPlugins, name: str, *requires: str, installer: bool = False, origin: str = "") -> Path:
    module = plugins.add(name, "answer = 42\n")
    (folder,) = plugins.path.glob(f"{name.replace('-', '_')}-*.dist-info")
    with (folder / "METADATA").open("w") as file:
        lines = [f"Requires-Dist: {text}" for text in requires]
        file.write("\n".join(["Metadata-Version: 2.1", f"Name: {name}", "Version: 1.0", *lines, "", ""]))
    if installer:
        (folder / "INSTALLER").write_text("pip\n")
    if origin:
        (folder / "direct_url.json").write_text(origin)
    return plugins.path / f"{module}.py"


def test_what_comes_from_an_index_is_fetched_there(isolated_plugins: IsolatedPlugins) -> None:
    metadata(isolated_plugins, "fetched", "anything", installer=True)
    assert environment(["fetched"]) == {"pip": ["fetched==1.0"]}


def test_what_lies_in_a_folder_is_sent_with_its_metadata(isolated_plugins: IsolatedPlugins) -> None:
    origin = json.dumps({"url": "file:///somewhere", "dir_info": {"editable": True}})
    module = metadata(
        isolated_plugins,
        "edited",
        "pydantic>=2",
        "other-edited>=1",
        "rich>=13; extra == 'table'",
        "tomli; python_version < '3'",
        installer=True,
        origin=origin,
    )
    other = metadata(isolated_plugins, "other-edited")
    found = environment(["edited", "Other_Edited"])
    assert found["pip"] == ["pydantic>=2"]
    assert [Path(place).name for place in found["py_modules"]] == [
        module.name, "edited-1.0.dist-info", other.name, "other_edited-1.0.dist-info",
    ]  # fmt: skip


def test_gym_itself_is_known() -> None:
    found = environment(["gym-core", "not-installed-anywhere"])
    assert found.get("pip") or found.get("py_modules")
