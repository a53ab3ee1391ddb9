"""How the live page looks, where gradio doesn't see to it."""

__all__ = ["STYLE"]

STYLE = """
.gradio-container {max-width: 1100px !important; margin: 0 auto !important}
#status, #says {padding: 0}
input[role] {text-overflow: ellipsis; margin-right: 24px !important}
#examples .grid-wrap {min-height: 0; padding: 4px}
#examples .grid-container {
  grid-template: none / repeat(3, minmax(0, 1fr)); grid-auto-rows: auto
}
.dark #front img {filter: invert(.86) hue-rotate(180deg)}
.says p {margin: 4px 0}
.says .bar {height: 10px; border-radius: 5px; background: #8883; overflow: hidden; margin: 8px 0}
.says .bar div {height: 100%; background: #7c5cc4}
.says table {width: auto; border: 0; margin: 4px 0; border-collapse: collapse}
.says th, .says td, .says tr {border: 0; padding: 1px 16px 1px 0; line-height: 1.5}
.says th {text-align: left; font-weight: normal}
.says td {font-weight: bold; text-align: right; font-variant-numeric: tabular-nums}
.says .problem {border-left: 4px solid #e66101; padding: 6px 10px}
.says .note {border-left: 4px solid #7c5cc4; padding: 2px 10px}
"""
