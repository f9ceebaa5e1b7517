"""Figures as a Markdown table, and as bars."""

from __future__ import annotations

import statistics
from html import escape

from loads import Load

Costs = dict[tuple[str, str], list[float]]
"""By load and server, one for each round in which the load was served."""


def medians(load: Load, names: list[str], costs: Costs) -> dict[str, float]:
    return {name: statistics.median(found) for name in names if (found := costs.get((load.name, name)))}


def table(loads: list[Load], names: list[str], costs: Costs) -> str:
    """Medians with the least and the most of all rounds, and how the first server stands to the others."""
    own, *others = names
    head = ["server", *names, *(f"of {name}" for name in others), "goal", "reached"]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "--:|" * (len(names) + len(others)) + "---|---|"]
    for load in loads:
        found = medians(load, names, costs)
        cells = [f"{load.name}, {load.unit}"]
        cells += [_spread(costs.get((load.name, name))) for name in names]
        for name in others:
            cells.append(f"{found[own] / found[name]:.2f}" if own in found and name in found else "-")
        cells += [str(load.goal) or "-", _verdict(load, own, found)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _spread(found: list[float] | None) -> str:
    if not found:
        return "failed"
    return f"{_short(statistics.median(found))} ({_short(min(found))} to {_short(max(found))})"


def _verdict(load: Load, own: str, found: dict[str, float]) -> str:
    others = {name: cost for name, cost in found.items() if name != own}
    reached = load.goal.reached(found[own], others) if own in found else None
    return {True: "yes", False: "**no**", None: "-"}[reached if load.goal.of or load.goal.at_most else None]


def _short(value: float) -> str:
    """Three digits."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def told_table(rows: list[tuple[str, dict[str, float]]]) -> str:
    """What the client of a server that is not ours to start has seen; `rows` by load, of all rounds' medians."""
    head = ["load", "requests/s", "p50, us", "p99, us", "MB/s", "server CPU, us"]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "--:|" * (len(head) - 1)]
    for name, told in rows:
        cells = [name, f"{told['rate']:,.0f}", f"{told['p50_us']:,.0f}", f"{told['p99_us']:,.0f}"]
        cells += [f"{told['bytes_rate'] / 1e6:,.1f}", f"{told['cpu_us']:.3g}" if "cpu_us" in told else "-"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


# --- Bars ----------------------------------------------------------------------------------------------------------

WIDTH, LABEL, RIGHT, BAR, GAP, ROW_GAP, TOP = 860, 250, 110, 13, 3, 14, 46

STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2328; }
.note { fill: #59636e; }
.s0 { fill: #0969da; } .s1 { fill: #bf8700; } .s2 { fill: #8250df; } .s3 { fill: #59636e; }
.goal { stroke: #d1242f; stroke-width: 2; }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc; } .note { fill: #9198a1; }
  .s0 { fill: #4493f8; } .s1 { fill: #d29922; } .s2 { fill: #ab7df8; } .s3 { fill: #9198a1; }
  .goal { stroke: #f85149; }
}
"""


def plot(loads: list[Load], names: list[str], costs: Costs) -> str:
    """Bars as SVG: for each load the medians of the servers, the longest as wide as there is room, and the goal."""
    parts, y = _legend(names), TOP
    for load in loads:
        found = medians(load, names, costs)
        if not found:
            continue
        room, most = WIDTH - LABEL - RIGHT, max(found.values())
        height = len(names) * (BAR + GAP) - GAP
        limit = _limit(load, found)
        mark = limit / most * room if limit is not None and limit <= most else 0
        parts.append(f'<text x="{LABEL - 10}" y="{y + height / 2 + 4:g}" text-anchor="end">{escape(load.name)}</text>')
        for index, name in enumerate(names):
            top = y + index * (BAR + GAP)
            width = found.get(name, 0) / most * room
            parts.append(f'<rect class="s{index}" x="{LABEL}" y="{top}" width="{width:.1f}" height="{BAR}" rx="2"/>')
            text = f"{_short(found[name])} {load.unit}" if name in found else "failed"
            # The first bar has the goal's mark, which may be beyond its end.
            end = LABEL + (max(width, mark) if index == 0 else width) + 6
            parts.append(f'<text class="note" x="{end:.1f}" y="{top + 11}">{text}</text>')
        if mark:
            x = LABEL + mark
            parts.append(f'<line class="goal" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 2}" y2="{y + BAR + 2}"/>')
        y += height + ROW_GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}">\n'
        f"<title>What HTTP/3 servers take of CPU and memory</title>\n<style>{STYLE}</style>\n"
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _legend(names: list[str]) -> list[str]:
    parts, x = [], LABEL
    for index, name in enumerate(names):
        parts.append(f'<rect class="s{index}" x="{x}" y="12" width="{BAR}" height="{BAR}" rx="2"/>')
        parts.append(f'<text x="{x + BAR + 6}" y="23">{escape(name)}</text>')
        x += 40 + 8 * len(name)
    parts.append(f'<line class="goal" x1="{x + 6}" x2="{x + 6}" y1="10" y2="{14 + BAR}"/>')
    parts.append(f'<text x="{x + 14}" y="23">goal of {escape(names[0])}; less is better</text>')
    return parts


def _limit(load: Load, found: dict[str, float]) -> float | None:
    """What the first server's figure may be at most."""
    limits = [share * found[name] for name, share in load.goal.of.items() if name in found]
    return load.goal.at_most if load.goal.at_most is not None else min(limits, default=None)
