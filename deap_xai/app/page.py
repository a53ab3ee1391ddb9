"""The page itself: what stands where, and what a click does.

Handlers are methods that take and return plain values by component, so that they can be called
without a server.
"""

import re
import shutil
import tempfile
import traceback
import weakref
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import PIL.Image

from deap_xai.app import LARGEST_UPLOAD, pictures
from deap_xai.app.choices import counts_pieces, is_demo
from deap_xai.app.explainers import Explainers
from deap_xai.app.panel import Panel
from deap_xai.app.search import Search, Snapshot
from deap_xai.app.trial import Trial
from deap_xai.demo import NETWORKS, creature
from deap_xai.demo.show import FIRST_SEED
from deap_xai.errors import DeapXaiError, require
from deap_xai.explanation import Explanation
from deap_xai.images import ImageLike, image_name, load_image
from deap_xai.views import reduce_image

__all__ = ["Page"]

INTRO = """# Which parts of the picture were enough?
An image classifier looks at a picture and names what it sees. This page cuts the picture into
pieces, hides some of them, asks the classifier again, and evolves the few pieces that are enough
for its answer."""

CHOOSE = "<p>Choose a picture to begin.</p>"
LOADING = "<p>Loading the classifier and cutting the picture …</p>"
WAITING = "<p>Another visitor's search is going on; yours begins when that has ended.</p>"
GONE = "This page no longer has the picture; choose it again."
STOP, LEAVE = "Stop: the best so far is enough", "Leave the line"
BROKEN = "This didn't work; see that every number is within its range, and try again."
FILES = [".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"]
EXAMPLES = 6
DAY = 86400


class Picture(NamedTuple):
    """What is to be explained, and what it is called."""

    name: str
    image: ImageLike


Updates = dict[Any, Any]
"""New values by component."""


class Page:
    """The live page.

    Parameters
    ----------
    settings
        As for :class:`~deap_xai.app.explainers.Explainers`.

    Attributes
    ----------
    blocks
        The ``gradio.Blocks``.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.gr: Any = require("gradio", extra="app")
        self.explainers = Explainers(settings)
        self._examples = [creature(FIRST_SEED + n, watermark="random") for n in range(EXAMPLES)]
        self._reports = tempfile.mkdtemp(prefix="deap-xai-")
        weakref.finalize(self, shutil.rmtree, self._reports, ignore_errors=True)
        with self.gr.Blocks(
            title="deap_xai", analytics_enabled=False, delete_cache=(DAY // 24, DAY)
        ) as self.blocks:
            self.picture, self.search, self.trial, self.for_photographs = (
                self.gr.State(time_to_live=DAY) for _ in range(4)
            )
            self.gr.Markdown(INTRO)
            with self.gr.Row():
                with self.gr.Column(scale=2, min_width=320):
                    self._place_picture()
                    self._place_choices()
                with self.gr.Column(scale=3, min_width=320):
                    self._place_result()
            self._connect()

    def _place_picture(self) -> None:
        gr = self.gr
        self.upload = gr.File(label="Your picture", file_types=FILES, height=130, elem_id="file")
        gr.Markdown(
            f"of {LARGEST_UPLOAD} at most; or one of these made-up creatures, whose kind the demo "
            "classifiers know:"
        )
        self.gallery = gr.Gallery(
            [one.image for one in self._examples],
            show_label=False,
            columns=EXAMPLES // 2,
            height="auto",
            allow_preview=False,
            interactive=False,
            buttons=[],
            elem_id="examples",
        )

    def _place_choices(self) -> None:
        gr = self.gr
        self.panel = Panel(gr, self.explainers.model, self.explainers.search)
        self.go = gr.Button("Explain", variant="primary", interactive=False, elem_id="go")
        self.halt = gr.Button(STOP, variant="stop", visible=False,
                              elem_id="halt")  # fmt: skip

    def _place_result(self) -> None:
        gr = self.gr
        self.status = gr.HTML(CHOOSE, elem_classes="says",
                              elem_id="status")  # fmt: skip
        self.board = gr.Image(
            show_label=False,
            interactive=False,
            buttons=[],
            visible=False,
            elem_id="board",
            alt_text="The picture: pieces kept are in colour, others faded",
        )
        with gr.Column(visible=False, elem_id="try") as self.trying:
            gr.Markdown("**Click pieces to hide or show them**, and see what the classifier says.")
            self.says = gr.HTML(elem_classes="says", elem_id="says")
            with gr.Row():
                names = {"As found": (None, "found"), "Show all": (True, "everything"),
                         "Hide all": (False, "nothing")}  # fmt: skip
                self.resets = [(gr.Button(name, size="sm", min_width=90, elem_id=elem_id), value)
                               for name, (value, elem_id) in names.items()]  # fmt: skip
            self.answer = gr.Label(label="The classifier's answer now", num_top_classes=3,
                                   show_heading=False, elem_id="answer")  # fmt: skip
        with gr.Column(visible=False) as self.curve:
            gr.Markdown("How sure the classifier can be made with how many pieces:")
            self.front = gr.Plot(show_label=False, elem_id="front")
        self.download = gr.DownloadButton("Download the report", visible=False, elem_id="report")

    def _connect(self) -> None:
        gr = self.gr
        # Not for programs, and nothing that one visitor does waits for another's search.
        quick = {"api_visibility": "private", "show_progress": "hidden", "concurrency_limit": None}

        def on_example(search: Any, model: str, event: gr.SelectData) -> Updates:  # type: ignore[name-defined]
            return self.take_example(search, model, event.index)

        def on_piece(trial: Any, event: gr.SelectData) -> Updates:  # type: ignore[name-defined]
            return self.toggle(trial, *event.index)

        taken = [self.picture, self.trial, self.board, self.status, self.panel.model, self.go,
                 self.trying, self.curve, self.download]  # fmt: skip
        gr.on(
            [self.upload.upload, self.upload.clear],
            self.take_upload,
            [self.upload, self.search, self.panel.model, self.picture, self.for_photographs],
            [*taken, self.upload],
            **quick,
        )
        self.gallery.select(
            on_example,
            [self.search, self.panel.model],
            [*taken, self.upload, self.for_photographs],
            **quick,
        )
        self.panel.segmenter.change(
            lambda spec: gr.update(visible=counts_pieces(spec)),
            self.panel.segmenter, self.panel.n_segments, **quick,
        )  # fmt: skip
        self.panel.algorithm.change(
            self.panel.heeded, self.panel.algorithm, self.panel.operators, **quick
        )
        # Searches stand in a line of their own, as visitors couldn't leave gradio's.
        searched = self.go.click(
            self.explain,
            [self.picture, *self.panel.controls],
            [*taken, self.search, self.halt, self.front, self.says, self.answer],
            **quick,
        )
        searched.failure(self.broken, None, [self.status, self.go, self.halt], **quick)
        self.halt.click(self.stop, self.search, self.halt, **quick)
        tried = [self.trial, self.board, self.says, self.answer]
        # None of several fast clicks is dropped, and each finds what the one before left.
        in_turn = {**quick, "trigger_mode": "multiple", "concurrency_id": "try",
                   "concurrency_limit": 1}  # fmt: skip
        self.board.select(on_piece, self.trial, tried, **in_turn)
        for button, value in self.resets:
            button.click(partial(self.show, value), self.trial, tried, **in_turn)

    def take_upload(
        self,
        path: str | None,
        search: Search | None,
        model: str,
        picture: Picture | None = None,
        last: str | None = None,
    ) -> Updates:
        """A visitor's file: seen at once, or refused with the reason; None where it was removed.

        The picture is the one until now; the last classifier is that for photographs which made
        way for one of the demo's.
        """
        if self._busy(search):
            # The box names what is searched in, if that is a file.
            named = picture and picture.image
            return {self.upload: named if isinstance(named, str) else None}
        if path is None:
            return self._without_picture(CHOOSE)
        wanted = (last or self.panel.home) if is_demo(model) else model
        return self._take(Picture(Path(path).name, path), wanted)

    def take_example(self, search: Search | None, model: str, number: int) -> Updates:
        """One of the creatures; only the demo's networks know them."""
        if self._busy(search):
            return {self.status: self.gr.skip()}
        one = self._examples[number]
        taken = Picture(f"{one.name}.png", one.image)
        if is_demo(model):
            return {self.upload: None, **self._take(taken, model)}
        first = f"demo:name={NETWORKS[0]}"
        return {self.upload: None, self.for_photographs: model, **self._take(taken, first)}

    def _busy(self, search: Search | None) -> bool:
        if going := search is not None and search.running:
            self.gr.Info("Still searching in the picture before; stop that first.")
        return going

    def _take(self, picture: Picture, model: str) -> Updates:
        try:
            seen = pictures.enlarged(reduce_image(load_image(picture.image), pictures.SIDE))
        except DeapXaiError as error:
            return self._without_picture(pictures.problem(_without_path(error, picture)))
        return {
            **self._without_picture("<p>Now press <b>Explain</b>.</p>"),
            self.picture: picture,
            self.board: self.gr.update(value=seen, visible=True),
            self.panel.model: model,
            self.go: self.gr.update(interactive=True),
        }

    def _without_picture(self, said: str) -> Updates:
        gone = self.gr.update(visible=False)
        return {
            self.picture: None,
            self.trial: None,
            self.status: said,
            self.go: self.gr.update(interactive=False),
            **dict.fromkeys((self.board, self.trying, self.curve, self.download), gone),
        }

    def broken(self) -> Updates:
        """What is said when gradio refused a value, or a handler failed, after the click."""
        return {self.status: pictures.problem(BROKEN), **self._ended()}

    def explain(self, picture: Picture | None, *values: Any) -> Iterator[Updates]:
        """Search, and show how it goes; in the end what was found, or what went wrong.

        The values are those of the panel's controls. The picture is None where gradio let go of
        it: a day after it was chosen, or because the server was started anew.
        """
        if picture is None:
            yield {self.status: pictures.problem(GONE), **self._ended()}
            return
        choice = self.panel.choice(*values)
        search = Search(partial(self.explainers.explain, picture.image, choice))
        try:
            yield self._lined_up(search)
            for _ in search.wait():  # gradio sees between two answers whether the visitor has left
                yield {self.status: WAITING, self.halt: self.gr.update(value=LEAVE)}
            yield {self.status: LOADING, self.halt: self.gr.update(value=STOP)}
            for snapshot in search.snapshots():
                yield self._amid(snapshot)
        finally:
            search.stop()  # where the visitor left before the first snapshot too
        if search.explanation is None:
            yield self._failed(search.error, picture)
        else:
            yield self._found(search.explanation, choice.model, picture)

    def _lined_up(self, search: Search) -> Updates:
        update = self.gr.update
        return {
            self.search: search,
            self.trial: None,
            self.status: LOADING,
            self.go: update(visible=False),
            self.halt: update(visible=True, interactive=True),
            self.trying: update(visible=False),
            self.curve: update(visible=False),
            self.download: update(visible=False),
        }

    def _amid(self, snapshot: Snapshot) -> Updates:
        s = snapshot
        drawn = pictures.front_figure(s.points, len(s.shown.mask), s.shown.size, s.full)
        return {
            self.status: pictures.running(s),
            self.board: pictures.board(s.view, s.segments, s.shown.mask),
            self.front: drawn,
            self.curve: self.gr.update(visible=True),
        }

    def _ended(self) -> Updates:
        return {
            self.go: self.gr.update(visible=True),
            self.halt: self.gr.update(visible=False),
        }

    def _failed(self, error: BaseException | None, picture: Picture) -> Updates:
        if isinstance(error, DeapXaiError):
            text = _without_path(error, picture)
        elif isinstance(error, KeyboardInterrupt):
            text = "Stopped before the classifier was asked anything."
        else:
            text = f"The classifier or the search failed ({type(error).__name__}: {error})."
            traceback.print_exception(error)  # for whoever wrote it and runs this page
        gone = self.gr.update(visible=False)  # of a search before, with which nothing works now
        return {self.status: pictures.problem(text), self.board: gone, **self._ended()}

    def _found(self, explanation: Explanation, model: str, picture: Picture) -> Updates:
        e, update = explanation, self.gr.update
        trial = Trial(e, self.explainers.own(model), e.mask)
        drawn = pictures.front_figure(
            e.front, e.n_segments, e.size, e.probability_full, e.probability_empty
        )
        return {
            self.status: pictures.found(e),
            self.front: drawn,
            self.curve: update(visible=True),
            self.trying: update(visible=True),
            **self._tried(trial),
            **self._ended(),
            **self._report(e, picture),
        }

    def _report(self, explanation: Explanation, picture: Picture) -> Updates:
        folder = tempfile.mkdtemp(dir=self._reports)
        stem = re.sub(r"[^\w-]+", "_", image_name(picture.name))[:60]
        try:
            path = explanation.report(Path(folder, f"{stem}.html"), image=picture.name)
        except Exception as error:  # the disk is full, say: what was found is shown all the same
            said = pictures.problem(f"The report can't be written: {error}")
            return {self.status: pictures.found(explanation) + said}
        return {self.download: self.gr.update(value=str(path), visible=True)}

    def stop(self, search: Search | None) -> Updates:
        """End a search after its present batch."""
        if search is None or search.just_begun:
            return {self.halt: self.gr.skip()}
        search.stop()
        return {self.halt: self.gr.update(interactive=False)}

    def toggle(self, trial: Trial | None, x: int, y: int) -> Updates:
        """Switch the piece at that pixel of the board, and ask the classifier."""
        if trial is None:  # a click before there is anything to try
            return {self.says: self.gr.skip()}
        factor = pictures.enlargement(trial.explanation.view)
        return self._tried(trial.toggled(int(y) // factor, int(x) // factor))

    def show(self, value: bool | None, trial: Trial | None) -> Updates:
        """Show all pieces, none, or (None) those found; and ask the classifier."""
        if trial is None:
            return {self.says: self.gr.skip()}
        e = trial.explanation
        mask = e.mask if value is None else np.full(e.n_segments, value)
        return self._tried(Trial(e, trial.backend, mask))

    def _tried(self, trial: Trial) -> Updates:
        answer, e = trial.answer(), trial.explanation
        return {
            self.trial: trial,
            self.board: self.gr.update(
                value=pictures.board(e.view, e.segments, trial.mask), visible=True
            ),
            self.says: pictures.tried(trial, answer),
            self.answer: answer.top,
        }


def _without_path(error: BaseException, picture: Picture) -> str:
    """What went wrong, with the name that the visitor knows instead of where the file lies."""
    if isinstance(error.__cause__, PIL.Image.DecompressionBombError):
        # Pillow refuses what has twice its limit; visitors can't raise that.
        most = 2 * (PIL.Image.MAX_IMAGE_PIXELS or 0) / 1e6
        return f"{picture.name} is too large: a picture may have {most:.3g} million pixels."
    return str(error).replace(str(picture.image), picture.name)
