"""Make docs/page.png or docs/newcomer.png of the screenshots that browser tests have left.

Usage: contact_sheet.py DIRECTORY docs/page.png, with the DIRECTORY that was RK_SCREENSHOTS.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

PAGE = {
    "choose-chromium-form": "Choose",
    "choose-chromium-refused": "What is not allowed, before it is submitted",
    "choose-chromium-restart": "Restart on Cluster…",
    "see-chromium-00-details": "The panel Compute",
    "see-chromium-03-log": "Logs as they are written",
    "see-chromium-04-terminal": "A terminal inside the job",
    "see-chromium-many-light": "Two hundred kernels",
    "told-chromium-started": "It has started",
    "told-chromium-warning": "Before the time limit",
    "told-chromium-ended": "How it ended",
    "see-chromium-notebook": "In Notebook 7",
    "back-chromium-lab-2-fills-in": "The page comes back",
    "submit-chromium-script": "A script as a job",
    "submit-chromium-notebook": "A notebook as a job",
}
NEWCOMER = {
    "newcomer-chromium-03-not-allowed": "2 GPUs, 4 hours: not in this partition",
    "newcomer-chromium-05-waiting": "Another partition; it waits",
    "newcomer-chromium-07-warned": "Before the time limit",
    "newcomer-chromium-09-memory": "Extended; a click on the chip",
    "newcomer-chromium-11-ports": "Servers in the job",
    "newcomer-chromium-12-dashboard": "Dask's dashboard",
}
SHEETS = {"page.png": PAGE, "newcomer.png": NEWCOMER}
COLUMNS = 3
WIDTH, HEIGHT = 560, 360
TITLE = 30
FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"
COLOURS = 128


def sheet(shots: Path, titles: dict[str, str]) -> Image.Image:
    """All of them, with their titles."""
    rows = -(-len(titles) // COLUMNS)
    whole = Image.new("RGB", (COLUMNS * WIDTH, rows * (HEIGHT + TITLE)), "white")
    draw, font = ImageDraw.Draw(whole), ImageFont.truetype(FONT, 15)
    for number, (name, title) in enumerate(titles.items()):
        row, column = divmod(number, COLUMNS)
        left, top = column * WIDTH, row * (HEIGHT + TITLE)
        draw.text((left + 6, top + 7), title, "black", font)
        with Image.open(shots / f"{name}.png") as shot:
            small = shot.convert("RGB").resize((WIDTH - 12, HEIGHT - 6))
        whole.paste(small, (left + 6, top + TITLE))
    return whole


if __name__ == "__main__":
    directory, target = map(Path, sys.argv[1:])
    whole = sheet(directory, SHEETS[target.name])
    whole.quantize(COLOURS).save(target, optimize=True)
