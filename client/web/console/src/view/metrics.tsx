/** The metrics of the node that serves this page: plots over ten minutes, and every metric with its value. */

import { useMemo, useState } from "preact/hooks";
import { useConsole } from "../console.js";
import { CHARTS } from "../data/charts.js";
import { labelText } from "../data/prometheus.js";
import type { Family } from "../data/prometheus.js";
import { OPERATIONS_CHART } from "../data/samples.js";
import { count, quantity, whole } from "../format.js";
import { Input } from "../ui/field.js";
import { Empty, Panel } from "../ui/panel.js";
import { Plot } from "../ui/plot.js";
import { Table } from "../ui/table.js";

const OPERATIONS = {
  id: OPERATIONS_CHART,
  title: "Open operations by status",
  unit: "operations of the tenant",
  format: quantity,
};

/** In this order: what the node does, then what the tenant has under way, then how. */
const SHOWN = [...CHARTS.slice(0, 2), OPERATIONS, ...CHARTS.slice(2)];

export function MetricsView() {
  const { samples } = useConsole();
  const histories = useMemo(
    () => SHOWN.map((chart) => ({ chart, history: samples.history(chart.id) })),
    [samples],
  );
  const source = (id: string) => (id === OPERATIONS_CHART ? samples.counts : samples.metrics);
  return (
    <>
      <h1 tabIndex={-1}>Metrics</h1>
      <p class="lead">
        Of the node that serves this page, every two seconds, for as long as this tab is open.
      </p>
      <div class="plots">
        {histories.map(({ chart, history }) => (
          <Panel key={chart.id} title={chart.title} source={source(chart.id)}>
            <Plot title={chart.title} unit={chart.unit} format={chart.format} history={history} />
          </Panel>
        ))}
      </div>
      <Everything />
    </>
  );
}

/** Lines of the table of all metrics: who wants others filters. */
const LINES_MAX = 200;

function Everything() {
  const { samples } = useConsole();
  const [wanted, setWanted] = useState("");
  const reading = samples.metrics.value.value;
  const families = [...(reading?.families.values() ?? [])].filter((it) => it.name.includes(wanted));
  const lines = families.flatMap((family) => family.samples.map((sample) => ({ family, sample })));
  const columns = [
    { title: "Metric" },
    { title: "Labels" },
    { title: "Type", wide: true },
    { title: "Value", numeric: true },
  ] as const;
  return (
    <Panel
      title="Every metric"
      source={samples.metrics}
      aside={reading === undefined ? undefined : count(reading.families.size, "metric")}
    >
      <form
        class="filters"
        data-filter
        role="search"
        aria-label="Filter metrics"
        onSubmit={(event) => {
          event.preventDefault();
        }}
      >
        <Input label="Name holds" value={wanted} onInput={setWanted} mono />
      </form>
      {lines.length === 0 ? (
        <Empty source={samples.metrics}>No metric has such a name.</Empty>
      ) : (
        <Table label="Every metric" columns={columns}>
          {lines.slice(0, LINES_MAX).map(({ family, sample }) => {
            const labels = labelText(sample);
            return (
              <tr key={`${sample.name} ${labels}`}>
                <td title={help(family)}>
                  <code>{sample.name}</code>
                </td>
                <td>
                  <code>{labels}</code>
                </td>
                <td class="wide">{family.type}</td>
                <td class="numeric" title={String(sample.value)}>
                  {Number.isFinite(sample.value) ? quantity(sample.value) : String(sample.value)}
                </td>
              </tr>
            );
          })}
        </Table>
      )}
      {lines.length > LINES_MAX && (
        <p class="hint">{`${whole(lines.length - LINES_MAX)} more lines: filter for them.`}</p>
      )}
    </Panel>
  );
}

function help(family: Family): string | undefined {
  return family.help === "" ? undefined : family.help;
}
