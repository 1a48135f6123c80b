import uPlot from 'uplot';

export interface ChartLine {
  readonly label: string;
  readonly color: string;
}

const HEIGHT_PX = 190;

/** A chart over the last minutes; takes one value per line at a time and forgets the oldest. */
export class TimeChart {
  readonly #plot: uPlot;
  readonly #columns: (number | null)[][];
  readonly #keep: number;

  constructor(parent: HTMLElement, title: string, lines: readonly ChartLine[], unit: string, keep: number) {
    this.#columns = [[], ...lines.map(() => [])];
    this.#keep = keep;
    const box = document.createElement('section');
    box.className = 'chart';
    box.append(
      Object.assign(document.createElement('h2'), {
        textContent: unit === '' ? title : `${title} (${unit})`,
      }),
    );
    parent.append(box);
    const series = lines.map(({ label, color }) => ({ label, stroke: color, width: 2, spanGaps: true }));
    const axis = { stroke: '#667085', grid: { stroke: '#e7eaf0', width: 1 }, ticks: { show: false } };
    const width = (): number => Math.max(280, box.clientWidth - 24);
    this.#plot = new uPlot(
      {
        width: width(),
        height: HEIGHT_PX,
        series: [{}, ...series],
        axes: [axis, { ...axis, size: 56 }],
        scales: { y: { range: { min: { soft: 0, mode: 1 }, max: { pad: 0.1, soft: 0, mode: 1 } } } },
      },
      this.#columns as uPlot.AlignedData,
      box,
    );
    new ResizeObserver(() => this.#plot.setSize({ width: width(), height: HEIGHT_PX })).observe(box);
  }

  add(atMs: number, values: readonly (number | undefined)[]): void {
    this.#columns[0]!.push(atMs / 1000);
    for (const [i, value] of values.entries()) this.#columns[i + 1]!.push(value ?? null);
    for (const column of this.#columns) if (column.length > this.#keep) column.shift();
    this.#plot.setData(this.#columns as uPlot.AlignedData);
  }
}
