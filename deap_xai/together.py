"""Several searches at once: each waits for the model, and their questions are one batch."""

from __future__ import annotations

import signal
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import copy_context
from typing import Any, TypeAlias

from deap_xai.backends import Backend
from deap_xai.chance import Chance, seeded
from deap_xai.errors import SomeImagesFailed
from deap_xai.masking import MaskedView
from deap_xai.processes import one_blas_thread
from deap_xai.typing import Image, Masks, Probabilities, View, Views

__all__ = ["together"]

Masked: TypeAlias = "tuple[MaskedView, Masks]"
Question: TypeAlias = "tuple[Backend, Sequence[Masked]]"
Answer: TypeAlias = "list[Probabilities] | BaseException"


def together(jobs: Sequence[Callable[[Backend], Any]], backend: Backend, at_once: int) -> list[Any]:
    """Run jobs in turn, each until it asks the backend; all their questions are one batch.

    A job runs on a thread of its own, but only one has its turn at a time, and the backend is
    asked in the caller's thread. Each job has its own global ``random`` and ``numpy.random``, as
    if it were alone. Who asks together with whom depends on nothing but the jobs, so that a run
    can be repeated: the backend is asked when every job under way has a question. So no job
    breeds while the model works: the two would fight over Python's one lock.

    Parameters
    ----------
    jobs
        Functions of the backend that they are to ask; each explains one image.
    backend
        What they share, asked through
        :meth:`~deap_xai.backends.Backend.predict_masked_many`, as is its reference.
    at_once
        How many are under way at a time; as one ends, the next begins.

    Returns
    -------
    What each job returned, in order.

    Raises
    ------
    SomeImagesFailed
        If jobs ended with an exception, once all others are done. When a joint question fails,
        each is asked again alone, so that only the job whose question it is sees the error.
        Ctrl-C raises KeyboardInterrupt in every job under way, at its next question; those that
        hadn't begun count as failed. A second one before any question is raised at once, and what
        the jobs had found is lost.

    Examples
    --------
    >>> import numpy as np
    >>> from deap_xai.backends import FunctionBackend
    >>> ask = lambda backend: float(backend.predict(np.zeros((1, 2, 2, 3), np.uint8))[0, 0])
    >>> constant = FunctionBackend(lambda views: np.full((len(views), 2), 0.5))
    >>> together([ask, ask], constant, at_once=2)
    [0.5, 0.5]
    """
    outcomes: list[Any] = [KeyboardInterrupt("interrupted before it began") for _ in jobs]
    waiting, under_way = deque(enumerate(jobs)), dict[int, _Turns]()
    # A search sets the number of threads and puts it back: without this, amid another's.
    with one_blas_thread(), seeded(0), _Interrupts() as interrupts:
        while waiting or under_way:
            while waiting and len(under_way) < at_once:
                place, job = waiting.popleft()
                under_way[place] = _Turns(job, backend)
            for place, one in list(under_way.items()):
                one.take()
                if one.question is None:
                    outcomes[place] = under_way.pop(place).outcome
            questions = [one.question for one in under_way.values() if one.question]
            answers = _answers(questions, interrupts)
            for one, answer in zip(under_way.values(), answers, strict=True):
                one.answer = answer
            if interrupts.came:
                waiting.clear()
    return _all_or_raise(outcomes)


def _all_or_raise(outcomes: list[Any]) -> list[Any]:
    errors = {i: one for i, one in enumerate(outcomes) if isinstance(one, BaseException)}
    if not errors:
        return outcomes
    first = next(iter(errors.values()))
    if len(errors) == len(outcomes) and isinstance(first, KeyboardInterrupt):
        raise first  # before anything was known
    results = [None if i in errors else one for i, one in enumerate(outcomes)]
    raise SomeImagesFailed(results, errors) from first


class _Turns(threading.Thread):
    """A job that runs only while it has its turn: until its next question, or its end."""

    def __init__(self, job: Callable[[Backend], Any], backend: Backend) -> None:
        super().__init__(daemon=True)  # one that is given up doesn't keep the process alive
        self.question: Question | None = None
        self.answer: Answer | None = None
        self.outcome: Any = None
        self._job, self._backend = job, backend
        self._chance, self._context = Chance(), copy_context()
        self._mine, self._over = threading.Event(), threading.Event()

    def take(self) -> None:
        """Give the job its turn and wait until it is over."""
        self._over.clear()
        if self.ident is None:
            self.start()
        else:
            self._mine.set()
        self._over.wait()

    def run(self) -> None:
        """The job, from its first turn to its last, in its own thread."""
        self._chance.swap()
        try:
            self.outcome = self._context.run(self._job, _Asking(self._backend, self.ask))
        except BaseException as error:  # it is for the caller to judge
            self.outcome = error
        self.question = None
        self._end()

    def ask(self, backend: Backend, masked: Sequence[Masked]) -> list[Probabilities]:
        """End this turn with a question; the next one begins with its answer."""
        self.question = backend, masked
        self._end()
        self._mine.wait()
        self._mine.clear()
        self._chance.swap()
        if isinstance(self.answer, BaseException):
            raise self.answer
        assert self.answer is not None
        return self.answer

    def _end(self) -> None:
        self._chance.swap()
        self._over.set()


class _Asking(Backend):
    """The backend as a job sees it: masks wait until the others have their questions too."""

    def __init__(
        self, backend: Backend, ask: Callable[[Backend, Sequence[Masked]], list[Probabilities]]
    ) -> None:
        # Backend has these of its own, so that __getattr__ isn't asked for them.
        self.name, self.class_names = backend.name, backend.class_names
        self.engine, self.precision, self.choice = backend.engine, backend.precision, backend.choice
        self.batch_size = backend.batch_size
        own = backend.reference
        self.reference = None if own is None else _Asking(own, ask)
        self._backend, self._ask = backend, ask

    @property
    def caution(self) -> str:  # type: ignore[override]  # it may only be known after an answer
        return self._backend.caution

    def predict(self, images: Views) -> Probabilities:
        return self._backend.predict(images)

    def view(self, image: Image) -> View:
        return self._backend.view(image)

    def predict_masked(self, masked_view: MaskedView, masks: Masks) -> Probabilities:
        return self.predict_masked_many([(masked_view, masks)])[0]

    def predict_masked_many(self, questions: Sequence[Masked]) -> list[Probabilities]:
        answer = self._ask(self._backend, questions)
        self.batch_size = self._backend.batch_size  # it halves when memory runs out
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)  # whatever else this kind of backend has


class _Interrupts:
    """Ctrl-C: raised while the model is asked; else noted until the next question.

    Raised anywhere else it would tear the turns apart.
    """

    def __init__(self) -> None:
        self.came = self.pending = self.asking = False

    def __enter__(self) -> _Interrupts:
        self._before = signal.getsignal(signal.SIGINT)
        # Only the main thread is ever interrupted; whoever has another handler knows better.
        self._ours = (
            threading.current_thread() is threading.main_thread()
            and self._before is signal.default_int_handler
        )
        if self._ours:
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        if self._ours:
            signal.signal(signal.SIGINT, self._before)

    def _note(self, *signal_and_frame: object) -> None:
        if self.asking or self.pending:
            raise KeyboardInterrupt
        self.came = self.pending = True


def _answers(questions: Sequence[Question], interrupts: _Interrupts) -> list[Answer]:
    """An answer to each question, or the exception to raise instead."""
    try:
        interrupts.asking = True
        if interrupts.pending:
            raise KeyboardInterrupt
        answers: dict[int, Answer] = {}
        # A stand-in's questions are one batch, its model's another.
        for backend in {id(one[0]): one[0] for one in questions}.values():
            mine = [i for i, one in enumerate(questions) if one[0] is backend]
            answers |= zip(mine, _asked(backend, [questions[i][1] for i in mine]), strict=True)
        return [answers[i] for i in range(len(questions))]
    except KeyboardInterrupt:
        interrupts.came = True
        return [KeyboardInterrupt() for _ in questions]
    finally:
        interrupts.asking = interrupts.pending = False


def _asked(backend: Backend, questions: Sequence[Sequence[Masked]]) -> list[Answer]:
    """The tables that answer each job's question, all asked at once."""
    try:
        tables = iter(backend.predict_masked_many([one for masked in questions for one in masked]))
        return [[next(tables) for _ in masked] for masked in questions]
    except (Exception, SystemExit) as error:
        if len(questions) == 1:
            return [error]
        return [answer for one in questions for answer in _asked(backend, [one])]
