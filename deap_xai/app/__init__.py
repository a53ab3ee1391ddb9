"""The live page: choose, watch the evolution, then try the pieces yourself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deap_xai.errors import SettingError, require

__all__ = ["serve"]

LARGEST_UPLOAD = "50 MB"
"""As visitors read it; gradio takes it so, too."""


def serve(settings: Mapping[str, Any], port: int | None = None) -> tuple[Any, str]:
    """Start the live page on this machine alone, and return at once.

    Parameters
    ----------
    settings
        The model under ``"model"``, and what else the :class:`~deap_xai.explainer.Explainer` is
        made with: what visitors find chosen.
    port
        Where to listen; None takes the first free one from 7860 on.

    Returns
    -------
    The page, a ``gradio.Blocks`` with ``block_thread()`` and ``close()``; and its address.

    Raises
    ------
    MissingExtraError
        If gradio isn't installed.
    SettingError
        If the port is taken, or a setting is unknown.
    """
    gr = require("gradio", extra="app")
    from deap_xai.app.page import Page
    from deap_xai.app.style import STYLE
    from deap_xai.plotting import use_files_only

    use_files_only()
    _leave_chance_alone()
    blocks = Page(settings).blocks
    # Fonts of the reader's own system, so that no page asks another machine for any.
    theme = gr.themes.Default(
        primary_hue="violet", font=["system-ui", "sans-serif"], font_mono=["monospace"]
    )
    theme.set(block_info_text_color="*neutral_500", body_text_color_subdued="*neutral_500")
    try:
        _, address, _ = blocks.launch(
            server_name="127.0.0.1",
            server_port=port,
            max_file_size=LARGEST_UPLOAD,
            theme=theme,
            css=STYLE,
            footer_links=[],
            quiet=True,
            share=False,
            ssr_mode=False,
            run_history=False,
            enable_monitoring=False,
            prevent_thread_lock=True,
        )
    except OSError as error:
        raise SettingError(
            f"can't listen on port {port or '7860 to 7959'}; it seems taken: name another"
        ) from error
    return blocks, address


def _leave_chance_alone() -> None:
    """Give gradio's queue a generator of its own.

    It shuffles its queues twenty times a second; drawn from the global generator, which a search
    has seeded, that would make the same seed give another answer every time.
    """
    import random

    from gradio import queueing

    vars(queueing)["random"] = random.Random()
