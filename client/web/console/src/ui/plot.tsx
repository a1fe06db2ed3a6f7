/**
 * A plot over time, drawn by uPlot, with its numbers in words for those who do not see it. Styles are set through
 * the object model alone, as the page's security policy asks.
 */

import { useSignalEffect } from "@preact/signals";
import type { ReadonlySignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { History, Series } from "../data/samples.js";
import { clock } from "../format.js";
import { scheme } from "../theme.js";

const HEIGHT = 160;
/** What the labels of the axis of values take. */
const AXIS_WIDTH = 64;

interface PlotProps {
  title: string;
  unit: string;
  format: (value: number) => string;
  history: ReadonlySignal<History>;
}

export function Plot(props: PlotProps) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const { history } = props;
  const labels = knownSeries(history.value).map(({ label }) => label);
  const key = `${labels.join("|")} ${scheme.value}`;
  useEffect(() => {
    const element = place.current;
    if (element === null || labels.length === 0) return;
    const made = new uPlot(options(props, labels, element), dataOf(history.peek()), element);
    plot.current = made;
    const sized = new ResizeObserver(() => {
      made.setSize({ width: element.clientWidth, height: HEIGHT });
    });
    sized.observe(element);
    return () => {
      sized.disconnect();
      plot.current = undefined;
      made.destroy();
    };
    // Its lines and colours are fixed when it is made.
  }, [key]);
  useSignalEffect(() => {
    const data = dataOf(history.value);
    if (data.length === plot.current?.series.length) plot.current.setData(data);
  });
  return (
    <figure class="plot">
      <div class="canvas" ref={place} aria-hidden="true" />
      <Numbers {...props} />
    </figure>
  );
}

/** The last value of each line, with its least and greatest: the legend, and the text alternative. */
function Numbers({ title, unit, format, history }: PlotProps) {
  const series = knownSeries(history.value);
  const since = history.value.times[0];
  if (since === undefined || series.length === 0) {
    return <figcaption class="empty">This node has no such metric yet.</figcaption>;
  }
  const text = (value: number | undefined): string => (value === undefined ? "–" : format(value));
  return (
    <figcaption>
      <table>
        <caption class="unseen">{`${title}: ${unit}, since ${timeOf(since)}`}</caption>
        <thead>
          <tr>
            <th scope="col">{unit}</th>
            <th scope="col" class="numeric">
              Now
            </th>
            <th scope="col" class="numeric">
              Least
            </th>
            <th scope="col" class="numeric">
              Most
            </th>
          </tr>
        </thead>
        <tbody>
          {series.map(({ label, values }, index) => {
            const known = values.filter((value) => value !== undefined);
            return (
              <tr key={label}>
                <th scope="row">
                  <span class={`swatch node-${index}`} aria-hidden="true" />
                  {label}
                </th>
                <td class="numeric">{text(values.at(-1))}</td>
                <td class="numeric">{text(known.length === 0 ? undefined : Math.min(...known))}</td>
                <td class="numeric">{text(known.length === 0 ? undefined : Math.max(...known))}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </figcaption>
  );
}

const timeOf = (seconds: number): string => clock(new Date(seconds * 1_000));

/** Lines of which anything is known. */
function knownSeries({ series }: History): Series[] {
  return series.filter(({ values }) => values.some((value) => value !== undefined));
}

function dataOf(history: History): uPlot.AlignedData {
  return [
    history.times,
    ...knownSeries(history).map(({ values }) => values.map((value) => value ?? null)),
  ];
}

function options(props: PlotProps, labels: readonly string[], element: HTMLElement): uPlot.Options {
  const style = getComputedStyle(element);
  const colour = (name: string): string => style.getPropertyValue(name).trim();
  const axis = {
    stroke: colour("--plot-ink"),
    font: `11px ${style.fontFamily}`,
    grid: { stroke: colour("--plot-line"), width: 1 },
    ticks: { show: false },
  };
  return {
    width: element.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    padding: [8, 28, 0, 0],
    scales: { x: { time: true }, y: { range: (_, __, max) => [0, max > 0 ? max * 1.1 : 1] } },
    axes: [
      { ...axis, size: 26, space: 90, values: (_, times) => times.map(timeOf) },
      { ...axis, size: AXIS_WIDTH, values: (_, values) => values.map(props.format) },
    ],
    series: [
      {},
      ...labels.map((label, index) => ({
        label,
        stroke: colour(`--node-${index}`),
        width: 1.5,
        points: { show: false },
      })),
    ],
  };
}
