"""The curve of a training, as an SVG file."""

from pathlib import Path

WIDTH, HEIGHT, LEFT, TOP = 640, 240, 40, 16


def smoothed(values, over=10):
    """The mean of each value and those just before it."""
    return [sum(values[max(0, n - over + 1) : n + 1]) / min(over, n + 1) for n in range(len(values))]


def draw(path, rewards, title):
    """The mean reward of each step, from 0 to 1: as points, and smoothed as a line."""
    across = (WIDTH - LEFT - 16) / max(1, len(rewards) - 1)

    def at(step, value):
        return f"{LEFT + step * across:.1f}", f"{TOP + (1 - value) * (HEIGHT - TOP - 32):.1f}"

    points = "".join('<circle cx="{}" cy="{}" r="1.5"/>'.format(*at(*point)) for point in enumerate(rewards))
    line = " ".join(",".join(at(*point)) for point in enumerate(smoothed(rewards, max(1, len(rewards) // 15))))
    grid = "".join(
        '<path d="M{left} {y}H{right}"/><text x="{x}" y="{y}" dy="4" text-anchor="end">{value}</text>'.format(
            left=LEFT, right=WIDTH - 16, x=LEFT - 6, y=at(0, value)[1], value=value
        )
        for value in (0, 0.25, 0.5, 0.75, 1)
    )
    Path(path).write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-size="11">'
        f'<g stroke="#9995" fill="#888" stroke-width="0.5">{grid}'
        f'<text x="{LEFT}" y="{HEIGHT - 10}" stroke="none">{title}</text></g>'
        f'<g fill="#7c4dff" opacity="0.35">{points}</g>'
        f'<polyline points="{line}" fill="none" stroke="#7c4dff" stroke-width="2"/></svg>\n'
    )
