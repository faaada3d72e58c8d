"""Plots as plain SVG, readable by people and without any library."""
import math
from xml.sax.saxutils import escape

COLOURS = ["#1b6ca8", "#c8553d", "#4b8b3b", "#7d5ba6", "#b8860b", "#2a9d8f", "#6b6b6b"]
STYLE = 'font-family="sans-serif" font-size="13" fill="#222"'


def picture(path, width, height, parts):
    with open(path, "w") as file:
        file.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
                   f'viewBox="0 0 {width} {height}">\n<rect width="100%" height="100%" fill="#fff"/>\n'
                   + "\n".join(parts) + "\n</svg>\n")


def text(x, y, words, more=""):
    return f'<text x="{x:.0f}" y="{y:.0f}" {STYLE} {more}>{escape(words)}</text>'


def bars(path, title, groups):
    """Horizontal bars in groups: each bar is (name, median, least, most). Each group has its own scale."""
    left, width, line = 250, 900, 22
    y, parts = 60, [text(16, 26, title, 'font-weight="bold"')]
    for name, rows in groups:
        if not rows:
            continue
        parts.append(text(16, y, name, 'font-weight="bold"'))
        y += 10
        scale = (width - left - 130) / max(most for _, _, _, most in rows)
        for label, middle, least, most in rows:
            colour = COLOURS[0] if label.startswith("hashget") else "#999" if label.startswith("raw") else COLOURS[1]
            middle_of_line = y + line / 2
            parts += [text(left - 8, y + 15, label, 'text-anchor="end"'),
                      f'<rect x="{left}" y="{y + 3}" width="{max(middle * scale, 1):.1f}" height="{line - 6}" '
                      f'fill="{colour}"/>',
                      f'<line x1="{left + least * scale:.1f}" x2="{left + most * scale:.1f}" y1="{middle_of_line}" '
                      f'y2="{middle_of_line}" stroke="#222" stroke-width="2"/>',
                      text(left + most * scale + 6, y + 15, f"{middle:.2f} s")]
            y += line
        y += 34
    picture(path, width, y - 10, parts)


def round_up(value):
    """The next number that a person likes at an axis."""
    power = 10 ** math.floor(math.log10(max(value, 1e-9)))
    return next(power * factor for factor in (1, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10) if power * factor >= value)


def lines(path, title, series):
    """Lines over sizes: `series` maps a name to (size, value) pairs. The sizes' axis is logarithmic."""
    left, top, width, height = 70, 50, 560, 320
    points = [point for line in series.values() for point in line]
    sizes = sorted({size for size, _ in points})
    most = 4 * round_up(max(value for _, value in points) / 4)
    first, last = math.log10(sizes[0]), math.log10(sizes[-1])
    x = lambda size: left + width * ((math.log10(size) - first) / (last - first) if last > first else 0.5)
    y = lambda value: top + height * (1 - value / most)
    parts = [text(16, 26, title, 'font-weight="bold"')]
    for step in range(5):
        value = most * step / 4
        parts += [f'<line x1="{left}" x2="{left + width}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#ddd"/>',
                  text(left - 8, y(value) + 4, f"{value:.3g}", 'text-anchor="end"')]
    parts += [text(x(size), top + height + 20, f"{size:,}", 'text-anchor="middle"') for size in sizes]
    for number, (name, line) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        joined = " ".join(f"{x(size):.1f},{y(value):.1f}" for size, value in line)
        parts.append(f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x(size):.1f}" cy="{y(value):.1f}" r="4" fill="{colour}"/>' for size, value in line]
        parts.append(f'<rect x="{left + width + 24}" y="{top + 22 * number}" width="12" height="12" fill="{colour}"/>')
        parts.append(text(left + width + 42, top + 22 * number + 11, name))
    picture(path, left + width + 220, top + height + 40, parts)


def years(path, title, series):
    """Areas on top of each other, week by week: `series` maps a name to one value a week; the first lies below."""
    left, top, width, height = 70, 50, 620, 300
    weeks = max(len(values) for values in series.values())
    sums = [sum(values[week] for values in series.values()) for week in range(weeks)]
    most = 4 * round_up(max(sums) / 4) if max(sums) > 0 else 1
    x = lambda week: left + width * week / max(weeks - 1, 1)
    y = lambda value: top + height * (1 - value / most)
    parts = [text(16, 26, title, 'font-weight="bold"')]
    for step in range(5):
        value = most * step / 4
        parts += [f'<line x1="{left}" x2="{left + width}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#ddd"/>',
                  text(left - 8, y(value) + 4, f"{value:.3g}", 'text-anchor="end"')]
    below = [0.0] * weeks
    for number, (name, values) in enumerate(series.items()):
        above = [under + value for under, value in zip(below, values)]
        colour = ["#4b8b3b", "#b8860b", "#c8553d"][number % 3]
        outline = [f"{x(week):.1f},{y(value):.1f}" for week, value in enumerate(above)]
        outline += [f"{x(week):.1f},{y(below[week]):.1f}" for week in reversed(range(weeks))]
        parts.append(f'<polygon points="{" ".join(outline)}" fill="{colour}" fill-opacity="0.85"/>')
        parts.append(f'<rect x="{left + width + 24}" y="{top + 22 * number}" width="12" height="12" fill="{colour}"/>')
        parts.append(text(left + width + 42, top + 22 * number + 11, name))
        below = above
    parts += [text(x(52 * year), top + height + 20, f"year {year}", 'text-anchor="middle"') for year in range(0, weeks // 52 + 1, 2)]
    picture(path, left + width + 220, top + height + 40, parts)
