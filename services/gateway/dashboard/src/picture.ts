/** The canvas of the chart: bars in, pixels out. Prices are floats here and nowhere else. */

import {
  CandlestickSeries,
  ColorType,
  createChart,
  createSeriesMarkers,
  CrosshairMode,
  HistogramSeries,
  LineSeries,
  LineStyle,
  type CandlestickData,
  type HistogramData,
  type IChartApi,
  type ISeriesApi,
  type ISeriesMarkersPluginApi,
  type LineData,
  type SeriesMarker,
  type Time,
  type UTCTimestamp,
} from "lightweight-charts";
import { type Bar, ema, type Point, sma, vwap } from "./bars.ts";
import { placesOf } from "./format.ts";
import type { Candle } from "./protocol.ts";

/** History is asked for when fewer bars than this are left of what is seen. */
const BARS_AHEAD = 60;

export interface Overlay {
  /** On the button. */
  label: string;
  /** A variable of the style sheet. */
  color: string;
  points(bars: readonly Bar[]): Point[];
}

/** The lines that can be drawn over the bars. */
export const OVERLAYS: Record<string, Overlay> = {
  sma: { label: "SMA 20", color: "--line-1", points: (bars) => sma(bars, 20) },
  ema: { label: "EMA 50", color: "--line-2", points: (bars) => ema(bars, 50) },
  vwap: { label: "VWAP of the bar", color: "--line-3", points: vwap },
};

export interface PictureEvents {
  onHover(): void;
  onNearStart(): void;
}

export class Picture {
  readonly #chart: IChartApi;
  readonly #candles: ISeriesApi<"Candlestick">;
  readonly #volume: ISeriesApi<"Histogram">;
  readonly #marks: ISeriesMarkersPluginApi<Time>;
  readonly #lines = new Map<string, ISeriesApi<"Line">>();
  /** The bar under the pointer, by its start in seconds. */
  hovered: number | null = null;
  /** The last bar that is drawn; what changed before it cannot be added. With none drawn everything is before it. */
  #drawnTo = Infinity;
  /** Digits after the point of the prices shown. */
  places = 2;

  constructor(container: HTMLElement, events: PictureEvents) {
    this.#chart = createChart(container, {
      autoSize: true,
      layout: { attributionLogo: false, fontFamily: "inherit", fontSize: 11 },
      crosshair: { mode: CrosshairMode.Normal },
      timeScale: { timeVisible: true, secondsVisible: false, rightOffset: 6, barSpacing: 8 },
      rightPriceScale: { scaleMargins: { top: 0.12, bottom: 0.24 } },
    });
    this.#candles = this.#chart.addSeries(CandlestickSeries, {});
    this.#volume = this.#chart.addSeries(HistogramSeries, { priceScaleId: "volume", priceFormat: { type: "volume" }, lastValueVisible: false, priceLineVisible: false });
    this.#volume.priceScale().applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
    this.#marks = createSeriesMarkers(this.#candles, []);
    this.recolor();
    this.#chart.subscribeCrosshairMove(({ time }) => {
      this.hovered = typeof time === "number" ? time : null;
      events.onHover();
    });
    this.#chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      if (range !== null && range.from < BARS_AHEAD) events.onNearStart();
    });
  }

  clear(): void {
    this.showAll([], new Set());
  }

  /** What changed from the bar at `from` on. At the end it costs a bar, further back all of them. */
  show(bars: readonly Bar[], from: number, overlays: ReadonlySet<string>): void {
    if (from < this.#drawnTo) {
      this.showAll(bars, overlays);
      return;
    }
    const changed = bars.slice(bars.findIndex(({ time }) => time >= from));
    this.#precise(changed);
    for (const bar of changed) {
      this.#candles.update(candleData(bar));
      this.#volume.update(volumeData(bar));
    }
    for (const name of overlays) {
      const { color, points } = OVERLAYS[name]!;
      for (const point of points(bars).filter(({ time }) => time >= from)) this.#line(name, color).update(lineData(point));
    }
    if (changed.some(isMarked)) this.#showMarks(bars);
    this.#drawnTo = bars.at(-1)!.time;
  }

  showAll(bars: readonly Bar[], overlays: ReadonlySet<string>): void {
    this.#precise(bars);
    this.#candles.setData(bars.map(candleData));
    this.#volume.setData(bars.map(volumeData));
    this.#showMarks(bars);
    for (const [name, { color, points }] of Object.entries(OVERLAYS)) {
      if (overlays.has(name)) this.#line(name, color).setData(points(bars).map(lineData));
      else this.#dropLine(name);
    }
    this.#drawnTo = bars.at(-1)?.time ?? Infinity;
  }

  /** The newest bars, with room for the next. */
  fit(): void {
    this.#chart.timeScale().scrollToRealTime();
  }

  scroll(bars: number): void {
    const scale = this.#chart.timeScale();
    scale.scrollToPosition(scale.scrollPosition() + bars, false);
  }

  zoom(factor: number): void {
    const scale = this.#chart.timeScale();
    const range = scale.getVisibleLogicalRange();
    if (range !== null) scale.setVisibleLogicalRange({ from: range.to - (range.to - range.from) * factor, to: range.to });
  }

  recolor(): void {
    const line = color("--line");
    const [up, down] = [color("--up"), color("--down")];
    this.#chart.applyOptions({
      layout: { background: { type: ColorType.Solid, color: "transparent" }, textColor: color("--muted") },
      grid: { vertLines: { color: color("--grid") }, horzLines: { color: color("--grid") } },
      rightPriceScale: { borderColor: line },
      timeScale: { borderColor: line },
    });
    this.#candles.applyOptions({ upColor: up, downColor: down, borderUpColor: up, borderDownColor: down, wickUpColor: up, wickDownColor: down, priceLineStyle: LineStyle.Dotted });
    for (const [name, series] of this.#lines) series.applyOptions({ color: color(OVERLAYS[name]!.color) });
  }

  remove(): void {
    this.#chart.remove();
  }

  #precise(bars: readonly Bar[]): void {
    const places = Math.max(this.places, ...bars.slice(-20).flatMap(({ candle }) => [placesOf(candle.close), placesOf(candle.high), placesOf(candle.low)]));
    const known = this.#candles.options().priceFormat;
    if (places === this.places && known.type === "price" && known.precision === places) return;
    this.places = places;
    this.#candles.applyOptions({ priceFormat: { type: "price", precision: places, minMove: 10 ** -places } });
  }

  #showMarks(bars: readonly Bar[]): void {
    this.#marks.setMarkers(bars.filter(isMarked).flatMap(marks));
  }

  #line(name: string, variable: string): ISeriesApi<"Line"> {
    let series = this.#lines.get(name);
    if (series === undefined) {
      series = this.#chart.addSeries(LineSeries, { color: color(variable), lineWidth: 1, priceLineVisible: false, lastValueVisible: false, crosshairMarkerVisible: false });
      this.#lines.set(name, series);
    }
    return series;
  }

  #dropLine(name: string): void {
    const series = this.#lines.get(name);
    if (series !== undefined) this.#chart.removeSeries(series);
    this.#lines.delete(name);
  }
}

function candleData({ time, candle }: Bar): CandlestickData {
  const values = { time: time as UTCTimestamp, open: Number(candle.open), high: Number(candle.high), low: Number(candle.low), close: Number(candle.close) };
  return !isIncomplete(candle) ? values : { ...values, borderColor: color("--warn"), wickColor: color("--warn") };
}

function volumeData({ time, candle }: Bar): HistogramData {
  const rise = Number(candle.close) >= Number(candle.open);
  return { time: time as UTCTimestamp, value: Number(candle.volume), color: color(rise ? "--up-soft" : "--down-soft") };
}

function lineData({ time, value }: Point): LineData {
  return { time: time as UTCTimestamp, value };
}

/** An open bar cannot be complete: its next trade is not there yet. */
function isIncomplete({ closed, complete }: Candle): boolean {
  return closed && !complete;
}

function isMarked({ candle }: Bar): boolean {
  return candle.revision > 1 || isIncomplete(candle);
}

function marks({ time, candle }: Bar): SeriesMarker<Time>[] {
  const at = time as UTCTimestamp;
  const found: SeriesMarker<Time>[] = [];
  if (isIncomplete(candle)) found.push({ time: at, position: "belowBar", shape: "circle", color: color("--warn"), size: 0.6 });
  if (candle.revision > 1) found.push({ time: at, position: "aboveBar", shape: "square", color: color("--accent"), size: 0.6 });
  return found;
}

let palette: { theme: string; values: Map<string, string> } | null = null;

/** A colour of the style sheet as the canvas takes it, worked out once a theme: asking for a style may cost a layout. */
function color(variable: string): string {
  const theme = `${document.documentElement.dataset.theme}/${matchMedia("(prefers-color-scheme: dark)").matches}`;
  if (palette?.theme !== theme) palette = { theme, values: new Map() };
  let value = palette.values.get(variable);
  if (value === undefined) {
    value = computed(variable);
    palette.values.set(variable, value);
  }
  return value;
}

function computed(variable: string): string {
  const probe = document.createElement("i");
  probe.style.color = `var(${variable})`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}
