"""The server's side of tab "Transfer": reports and thumbnails, read through the data provider."""

import functools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tensorboard import errors, plugin_util
from tensorboard.backend import http_util
from tensorboard.data import provider
from tensorboard.plugins import base_plugin
from werkzeug import Request, Response

from xferlearn.dashboard import DATA_NAMES, PHOTOS_TAG, PLUGIN_NAME, REPORT_FORMAT, REPORT_TAG
from xferlearn.dashboard.changes import changes, photo_sets
from xferlearn.dashboard.experiments import EXPERIMENT_FORMAT, in_short
from xferlearn.dashboard.originals import NoOriginal, read_original
from xferlearn.photos.pixels.memory import PixelMemory

STATIC_DIR = Path(__file__).parent / "static"

_MIMETYPES = {".js": "text/javascript", ".css": "text/css"}
# Listed once: each is a route of its own, so no request can name any other file.
_STATIC_FILES = {
    path.name: _MIMETYPES[path.suffix]
    for path in sorted(STATIC_DIR.iterdir())
    if path.suffix in _MIMETYPES
}
# Of the charts that `summaries.scalars_callback` writes.
_COURSE_TAGS = ("loss", "accuracy")
_COURSE_SPLITS = ("train", "validation")
_MOST_POINTS = 200
_DAMAGED = "The run's report is damaged."
_SHORT = {"backbone": dict, "input": dict, "settings": list, "timings": dict, "training": dict}
_DEEPEST = 8


class TransferPlugin(base_plugin.TBPlugin):
    """Tab "Transfer"; TensorBoard makes it when xferlearn is installed beside it."""

    plugin_name = PLUGIN_NAME

    def __init__(self, context: base_plugin.TBContext) -> None:
        self._provider: provider.DataProvider = context.data_provider
        self._memory = PixelMemory()

    def data_plugin_names(self) -> tuple[str, ...]:
        """Returns whose data makes the tab active."""
        return DATA_NAMES

    def get_plugin_apps(self) -> dict[str, Callable]:
        """Returns the routes below `data/plugin/transfer`.

        `/runs` is the list of runs in short; `/report?run=` one run's report, JSON;
        `/change?before=&after=` what changed from one run to another, as `changes.changes` returns
        it; and `/photo?run=&index=` a thumbnail, JPEG: first those of the report's `photos`, in
        their order, then those that it names by `picture`. `/original?run=&index=` is the photo
        itself, where it still is on this machine, JPEG; `/course?run=` how the training went, as
        TensorBoard's own charts show it. For what does not exist the answer is 404 and
        `{"error": reason}`.
        """
        apps = {
            f"/{name}": _application(functools.partial(_serve_file, name=name))
            for name in _STATIC_FILES
        }
        apps["/runs"] = _application(self._serve_runs)
        apps["/report"] = _application(self._serve_report)
        apps["/change"] = _application(self._serve_change)
        apps["/photo"] = _application(self._serve_photo)
        apps["/original"] = _application(self._serve_original)
        apps["/course"] = _application(self._serve_course)
        return apps

    def is_active(self) -> bool:
        """Returns whether any run has data for this tab."""
        # TensorBoard asks the data provider first, which knows; see its list_plugins.
        return False

    def frontend_metadata(self) -> base_plugin.FrontendMetadata:
        """Returns the tab's name and its page."""
        return base_plugin.FrontendMetadata(es_module_path="/index.js", tab_name="Transfer")

    def _serve_runs(self, request: Request) -> Response:
        runs = []
        began = self._began(request)
        for run, references in sorted(self._blobs(request, REPORT_TAG).items()):
            try:
                report = self._report(request, references)
                short = _in_short(report) if report.get("kind") is None else in_short(report)
            except errors.PublicError as error:
                short = {"problem": str(error)}
            except (KeyError, TypeError, AttributeError, ValueError):
                short = {"problem": _DAMAGED}
            runs.append({"run": run, "began": began.get(run), **short})
        return _json(request, {"runs": runs})

    def _began(self, request: Request) -> dict[str, float | None]:
        """Returns when the first event of each run was written, seconds since 1970."""
        context = plugin_util.context(request.environ)
        experiment = plugin_util.experiment_id(request.environ)
        runs = self._provider.list_runs(context, experiment_id=experiment)
        return {run.run_name: run.start_time for run in runs}

    def _serve_report(self, request: Request) -> Response:
        return _json(request, self._report_of(request, _argument(request, "run")))

    def _serve_change(self, request: Request) -> Response:
        reports = [
            self._report_of(request, _argument(request, when)) for when in ("before", "after")
        ]
        try:
            return _json(request, changes(*reports))
        except (KeyError, TypeError, AttributeError, IndexError, ValueError):
            raise errors.NotFoundError(_DAMAGED) from None

    def _report_of(self, request: Request, run: str) -> dict[str, Any]:
        references = self._blobs(request, REPORT_TAG, run).get(run, ())
        if not references:
            raise errors.NotFoundError(f"There is no run {run!r} with data for this tab.")
        return {**self._report(request, references), "run": run}

    def _serve_photo(self, request: Request) -> Response:
        run = _argument(request, "run")
        references = self._blobs(request, PHOTOS_TAG, run).get(run, ())
        index = _index(request, run, len(references))
        jpeg = self._provider.read_blob(
            plugin_util.context(request.environ), blob_key=references[index].blob_key
        )
        return http_util.Respond(request, jpeg, "image/jpeg", expires=3600)

    def _serve_original(self, request: Request) -> Response:
        run = _argument(request, "run")
        report = self._report_of(request, run)
        try:
            files = report.get("files") or {"names": []}
            index = _index(request, run, len(files["names"]))
            jpeg = read_original(files, index, self._memory)
        except NoOriginal as error:
            raise errors.NotFoundError(str(error)) from None
        except (KeyError, TypeError, ValueError, IndexError):
            raise errors.NotFoundError(_DAMAGED) from None
        return http_util.Respond(request, jpeg, "image/jpeg", expires=3600)

    def _serve_course(self, request: Request) -> Response:
        run = _argument(request, "run")
        names = {split: f"{run}/{split}" for split in _COURSE_SPLITS}
        series = self._provider.read_scalars(
            plugin_util.context(request.environ),
            experiment_id=plugin_util.experiment_id(request.environ),
            plugin_name="scalars",
            downsample=_MOST_POINTS,
            run_tag_filter=provider.RunTagFilter(runs=[*names.values()], tags=[*_COURSE_TAGS]),
        )
        return _json(
            request,
            {
                tag: {
                    split: [
                        [point.step, point.value] for point in points if _is_number(point.value)
                    ]
                    for split, name in names.items()
                    if (points := series.get(name, {}).get(tag))
                }
                for tag in _COURSE_TAGS
            },
        )

    def _blobs(
        self, request: Request, tag: str, run: str | None = None
    ) -> dict[str, tuple[provider.BlobReference, ...]]:
        found: dict[str, tuple[provider.BlobReference, ...]] = {}
        for owner in DATA_NAMES:
            series = self._provider.read_blob_sequences(
                plugin_util.context(request.environ),
                experiment_id=plugin_util.experiment_id(request.environ),
                plugin_name=owner,
                downsample=1,
                run_tag_filter=provider.RunTagFilter(
                    runs=None if run is None else [run], tags=[tag]
                ),
            )
            found |= {name: tags[tag][-1].values for name, tags in series.items() if tags.get(tag)}
        return found

    def _report(
        self, request: Request, references: tuple[provider.BlobReference, ...]
    ) -> dict[str, Any]:
        context = plugin_util.context(request.environ)
        try:
            blob = self._provider.read_blob(context, blob_key=references[0].blob_key)
            report = json.loads(blob)
            version = report["format"]
        except (IndexError, ValueError, KeyError, TypeError, RecursionError):
            raise errors.NotFoundError(_DAMAGED) from None
        if version not in (REPORT_FORMAT, EXPERIMENT_FORMAT):
            raise errors.NotFoundError(
                f"The run's report has format {version}; this version of xferlearn shows"
                f" {REPORT_FORMAT} and {EXPERIMENT_FORMAT}. Install the xferlearn that wrote it."
            )
        return report


class FirstTab(TransferPlugin):
    """The same where it is what TensorBoard was started for: without data it says so."""

    def is_active(self) -> bool:
        """Returns True: the page is to be seen, whatever the runs hold."""
        return True


def _in_short(report: dict[str, Any]) -> dict[str, Any]:
    """Returns what the list of runs and their comparison need.

    One damaged run must not break the list. Raises KeyError, TypeError, AttributeError or
    ValueError where the report is not as `report.build_report` makes it.
    """
    parts = {key: report[key] for key in _SHORT}
    _check(all(isinstance(parts[key], kind) for key, kind in _SHORT.items()))
    _check_depth(parts, _DEEPEST)
    _check(all(isinstance(setting["name"], str) for setting in parts["settings"]))
    timings = parts["timings"]
    for number in (timings["photos_per_second"], *timings["seconds"].values()):
        _check(_is_number(number))
    _check(_is_number(parts["training"]["steps_run"]))
    return {
        "classes": len(report["labels"]),
        "photo_sets": photo_sets(report),
        "evaluations": {
            split: _evaluation_in_short(evaluation)
            for split, evaluation in report["evaluations"].items()
        },
        **parts,
    }


def _evaluation_in_short(evaluation: dict[str, Any]) -> dict[str, Any]:
    accuracy, count, interval = (evaluation[key] for key in ("accuracy", "n", "interval_95"))
    low, high = interval
    _check(accuracy is None or _is_number(accuracy))
    _check(all(map(_is_number, (count, low, high))))
    return {
        **{"accuracy": accuracy, "n": count, "interval_95": interval},
        # Those of earlier versions have neither.
        **{"few": bool(evaluation.get("few")), "folding": str(evaluation.get("folding", ""))},
        "measure": str(evaluation.get("measure", "accuracy")),
    }


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _check(holds: bool) -> None:
    if not holds:
        raise ValueError(_DAMAGED)


def _check_depth(value: Any, left: int) -> None:
    # What json.loads can still read may be nested too deep for writing it again.
    _check(left > 0)
    children = value.values() if isinstance(value, dict) else value
    for child in children if isinstance(value, (dict, list)) else ():
        _check_depth(child, left - 1)


def _application(serve: Callable[[Request], Response]) -> Callable:
    @Request.application
    def application(request: Request) -> Response:
        try:
            return serve(request)
        except errors.PublicError as error:
            return _json(request, {"error": str(error)}, error.http_code)

    return application


def _argument(request: Request, name: str) -> str:
    value = request.args.get(name, "")
    if not value:
        raise errors.InvalidArgumentError(f"Expected the argument {name!r}. It is missing.")
    return value


def _index(request: Request, run: str, count: int) -> int:
    index = _argument(request, "index")
    if not index.isdecimal() or not index.isascii():
        raise errors.InvalidArgumentError(
            f"Expected `index` to be a whole number. Received: index={index!r}."
        )
    # Compared by length first: int() of a number of thousands of digits is slow, then fails.
    if len(index) > 9 or int(index) >= count:
        raise errors.NotFoundError(f"Run {run!r} has {count} photos. Received: index={index}.")
    return int(index)


def _serve_file(request: Request, name: str) -> Response:
    content = (STATIC_DIR / name).read_bytes()
    return http_util.Respond(request, content, _STATIC_FILES[name])


def _json(request: Request, content: dict[str, Any], code: int = 200) -> Response:
    return http_util.Respond(request, content, "application/json", code=code)
