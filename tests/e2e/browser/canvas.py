"""Whether there is a candle on the canvas: by its pixels."""

from playwright.async_api import Page

CANDLE_HEIGHT_MIN = 4
"""Pixels of a candle's colour above each other; the line of the last price is thinner."""
DRAWN = """
(height) => {
    const colors = ['--up', '--down', '--warn'].map((name) => {
        const probe = document.createElement('i')
        probe.style.color = `var(${name})`
        document.body.append(probe)
        const rgb = getComputedStyle(probe).color.match(/\\d+/g).slice(0, 3).map(Number)
        probe.remove()
        return (rgb[0] << 16) | (rgb[1] << 8) | rgb[2]
    })
    // The panes: what is beside them, the prices and the times, is drawn on smaller ones.
    const area = (canvas) => canvas.width * canvas.height
    const canvases = [...document.querySelectorAll('.chart canvas')]
    const largest = Math.max(0, ...canvases.map(area))
    return canvases.filter((canvas) => area(canvas) === largest).some((canvas) => {
        const { width, height: rows } = canvas
        const { data } = canvas.getContext('2d').getImageData(0, 0, width, rows)
        for (let x = 0; x < width; x++) {
            let run = 0
            for (let y = 0; y < rows; y++) {
                const at = (y * width + x) * 4
                const color = (data[at] << 16) | (data[at + 1] << 8) | data[at + 2]
                run = data[at + 3] === 255 && colors.includes(color) ? run + 1 : 0
                if (run >= height) return true
            }
        }
        return false
    })
}
"""


async def candle_is_drawn(page: Page) -> bool:
    return bool(await page.evaluate(DRAWN, CANDLE_HEIGHT_MIN))
