"""Experiments and evaluations in tab Transfer: what is served, and what a person sees of them."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import Chromium, find_chromium
from test_dashboard import HOSTILE, PREFIX, Tab, _client
from werkzeug.serving import make_server

from xferlearn.dashboard import experiments
from xferlearn.dashboard.experiments import Estimate, Table, build_experiment, write_experiment
from xferlearn.dashboard.summary import write_report

TRAINING: dict[str, Any] = {
    "format": 1, "labels": ["cat", "dog"], "backbone": {}, "input": {}, "settings": [],
    "timings": {"photos_per_second": 1.0, "seconds": {}}, "training": {"steps_run": 5},
}  # fmt: skip


def training(accuracy: float, keys: str) -> dict[str, Any]:
    """A training's report as far as the list of runs looks at it."""
    measured = {"accuracy": accuracy, "n": 2, "interval_95": [0.4, 1.0]}
    nothing = {"accuracy": None, "n": 0, "interval_95": [0.0, 1.0]}
    return {
        **TRAINING,
        "evaluations": {"test": measured, "validation": nothing},
        "judged": {"keys": keys, "test": 2, "truth": [0, 1], "predicted": [0, 0], "together": []},
    }


def sweep() -> dict[str, Any]:
    rows = [
        ["0.01", Estimate("90.0% (80.0 to 95.0)", 0.8, 0.9, 0.95), ""],
        [HOSTILE, Estimate("85.0% (75.0 to 92.0)", 0.75, 0.85, 0.92),
         Estimate("5.0 (-1.0 to 11.0)", -1.0, 5.0, 11.0)],
    ]  # fmt: skip
    return build_experiment(
        "sweep",
        experiments.measured("Cross-validated accuracy", 0.9, 90, (0.8, 0.95)),
        verdict=["best: learning_rate=0.01"],
        tables=[Table("Combinations", ("learning_rate", "accuracy", "points behind"), rows)],
        command="xferlearn train photos",
    )


def curve() -> dict[str, Any]:
    return build_experiment(
        "curve",
        None,
        curve={
            "x": "photos per class",
            "points": [[1, 0.3, 0.4, 0.5], [9, 0.5, 0.6, 0.7], [10, 0.6, 0.7, 0.8]],
            "fit": {"points": [[9, 0.6], [10, 0.7]], "next": [110, 0.8, 0.85, 0.9]},
        },
    )


def evaluation(run: str) -> dict[str, Any]:
    wrong = {"split": "test", "truth": 0, "predicted": 1, "score": 0.9, "name": "cats/one.jpg"}
    classes = [
        {"n": n, "predicted": n, "correct": right, "precision": 1.0, "recall": 1.0,
         "recall_interval_95": [0.5, 1.0], "f1": 1.0}
        for n, right in ((2, 1), (1, 1))
    ]  # fmt: skip
    cells = [[0, 0, 1], [0, 1, 1], [1, 1, 1]]
    return build_experiment(
        "evaluate",
        experiments.measured("Accuracy", 2 / 3, 3, (0.2, 0.9), seen=True),
        source={"model": "out/cats", "run": run, "photos": "more", "counts": []},
        labels=["cat", "dog"],
        evaluations={"test": {"n": 3, "cells": cells, "classes": classes}},
        photos=[wrong],
    )


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three trainings, two of them on the same photos, and an experiment of each kind."""
    root = tmp_path_factory.mktemp("experiments")
    one, other = "AAAAAAAAAAAABBBB", "AAAAAAAAAAAACCCC"
    turned = "AAAABBBBAAAAAAAA"  # the keys of `one`, in another order
    write_report(root / "cats_lite0_2026-01-02_03-04-05", training(0.5, one), [])
    write_report(root / "cats_lite0_lr0.1_2026-01-02_03-05-05", training(1.0, turned), [])
    write_report(root / "other_photos", training(0.9, other), [])
    for name, document in (("sweep", sweep()), ("curve", curve())):
        assert write_experiment(root / f"cats_{name}", document) == ()
    document = evaluation("cats_lite0_2026-01-02_03-04-05")
    assert write_experiment(root / "cats_on_more", document, [b"\xff\xd8\xff"]) == ()
    write_report(root / "damaged", {"format": 2, "kind": "sweep", "measured": {"n": "many"}}, [])
    write_report(root / "unknown", {"format": 2, "kind": "dance", "measured": None}, [])
    return root


def test_experiments_are_listed_and_told_from_trainings(logs: Path) -> None:
    client = _client(logs)
    runs = {run["run"]: run for run in client.get(f"{PREFIX}/runs").json["runs"]}
    short = runs["cats_sweep"]
    assert short["kind"] == "sweep"
    assert short["measured"]["n"] == 90
    assert "evaluations" not in short
    assert all(run["began"] > 0 for run in runs.values())
    for name in ("damaged", "unknown"):
        assert runs[name]["problem"] == "The run's report is damaged."
    report = client.get(f"{PREFIX}/report", query_string={"run": "cats_on_more"}).json
    assert report["source"]["model"] == "out/cats"
    photo = client.get(f"{PREFIX}/photo", query_string={"run": "cats_on_more", "index": 0})
    assert photo.data == b"\xff\xd8\xff"
    sets = [run["photo_sets"]["test"] for run in runs.values() if "photo_sets" in run]
    assert len(sets) == 3
    assert len(set(sets)) == 2


def test_what_can_not_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (problem,) = write_experiment(tmp_path / "file" / "run", sweep())
    assert "lacks the data of tab Transfer" in problem


class Page(Tab):
    """The tab's page without TensorBoard around it."""

    def js(self, expression: str) -> str:
        """Evaluates with `$` and `$$` for the page's elements."""
        return f"""(() => {{
            const $ = selector => document.querySelector(selector);
            const $$ = selector => [...document.querySelectorAll(selector)];
            return {expression};
        }})()"""


@pytest.fixture(scope="module")
def tab(logs: Path) -> Iterator[Page]:
    """The page in a browser."""
    if find_chromium() is None:
        pytest.skip("needs Chromium: no chromium or chrome on PATH")
    server = make_server("localhost", 0, _client(logs).application, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with Chromium() as browser:
            browser.open(f"http://localhost:{server.port}/data/plugin_entry.html?name=transfer")
            yield Page(browser)
    finally:
        server.shutdown()
        server.server_close()


def opened(tab: Tab, run: str) -> None:
    """Chooses a run in the list."""
    name = json.dumps(run)
    button = f"$$('.runs li button').find(b => b.textContent.includes({name}))"
    tab.see(f"({button}?.click(), $('h1')?.textContent === {name})")


def test_the_newest_training_is_opened(tab: Tab) -> None:
    assert tab.see("$('.runs .current .name')?.textContent") == "other_photos"


def test_a_sweep_shows_its_table_with_paired_differences(tab: Tab) -> None:
    opened(tab, "cats_sweep")
    rows = tab.see("$$('main tbody tr').map(r => [...r.cells].map(c => c.textContent))")
    assert rows == [
        ["0.01", "90.0% (80.0 to 95.0)", ""],
        [HOSTILE, "85.0% (75.0 to 92.0)", "5.0 (-1.0 to 11.0)"],
    ]
    assert tab.now("$$('.range').length") == 3
    # Two lie on one axis, and the difference shows where none would be.
    assert tab.now("$('.against-zero').style.getPropertyValue('--zero')") == str(1 / 12)
    assert tab.now("$('.verdict').textContent") == "best: learning_rate=0.01"
    assert tab.now("$('pre.command').textContent") == "xferlearn train photos"
    assert tab.now("$$('.runs input[type=checkbox]').length") == 3
    tab.now("$$('thead button').find(b => b.textContent === 'accuracy').click()")
    tab.now("$$('thead button').find(b => b.textContent === 'accuracy').click()")
    assert tab.now("$('main tbody th').textContent") == HOSTILE
    assert tab.now("$$('img').length") == 0


def test_a_curve_is_drawn_with_what_more_photos_would_bring(tab: Tab) -> None:
    opened(tab, "cats_curve")
    marks = tab.see("$$('.point').map(m => m.innerText.split(/\\s+/).filter(Boolean))")
    # The labels of 9 photos would touch those of 10.
    assert marks == [["40.0%", "1"], [], ["70.0%", "10"], ["85.0%", "110"]]
    assert tab.now("$$('.point.forecast').length") == 1
    assert tab.now("$$('.growth polyline').map(l => l.getAttribute('class'))") == [
        *("measured", "fitted")
    ]


def test_an_evaluation_leads_to_the_training_of_its_model(tab: Tab) -> None:
    opened(tab, "cats_on_more")
    assert tab.see("$('.tiles .main').innerText.includes('66.7%')")
    # Such an accuracy is too high, wherever it stands.
    told = [tab.now(f"$('{place} .seen').textContent") for place in (".tiles .main", ".current")]
    assert told == ["on photos it has learned from"] * 2
    assert tab.now("$$('.seen').length") == 2
    tab.see("($('.matrix tbody').rows[0].cells[2].click(), !!$('dialog h2'))")
    assert tab.now("$('dialog h2').textContent") == "cat predicted as dog"
    tab.press("Escape")
    tab.see("!$('dialog')")
    tab.now("$('button.link').click()")
    assert tab.see("$('h1').textContent === 'cats_lite0_2026-01-02_03-04-05'")


def test_only_runs_on_the_same_photos_are_ranked(tab: Tab) -> None:
    opened(tab, "cats_lite0_2026-01-02_03-04-05")
    tab.now("$('input[value=best]').click()")
    items = tab.see(
        "$$('.runs li').map(i => i.querySelector('.name')?.textContent ?? i.textContent)"
    )
    assert items[:3] == [
        "Best first, measured on the same 2 photos",
        "cats_lite0_lr0.1_2026-01-02_03-05-05",
        "cats_lite0_2026-01-02_03-04-05",
    ]
    assert items[3] == "Not ranked: on other photos, or experiments"
    assert "other_photos" in items[4:]
    tab.now("$('input[value=newest]').click()")
