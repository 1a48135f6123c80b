/** Style of report.html. */
export const REPORT_STYLE = `
body{margin:0;background:#f5f6f9;color:#1c2430;font:15px/1.5 Inter,system-ui,sans-serif}
main{max-width:1140px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:26px;margin:0}h2{font-size:18px;margin:0 0 6px}h3{font-size:15px;margin:14px 0 4px}
.muted{color:#5b6472;margin:2px 0 12px}.warning{background:#fff3d6;padding:8px 12px;border-radius:6px}
section,.tiles{background:#fff;border-radius:10px;padding:18px 20px;margin-top:18px;box-shadow:0 1px 2px #1c243014}
.tiles{display:grid;grid-template-columns:repeat(4,1fr);gap:14px}.tiles b{display:block;font-size:22px}.tiles span{color:#5b6472;font-size:13px}
ol{margin:0;padding-left:22px}li{margin-bottom:12px}.save{color:#1f7a4d;font-weight:600;margin-left:6px}
table{border-collapse:collapse;width:100%;font-size:13px}th,td{text-align:left;padding:5px 8px;border-bottom:1px solid #e7eaf0;vertical-align:top}
th.n{text-align:right}
td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}th{color:#5b6472;font-weight:600}
.bar{background:#e7eaf0;border-radius:4px;height:10px;min-width:200px;margin-top:5px}.bar i{display:block;height:10px;border-radius:4px;background:#3b6fd4}
.chart{overflow-x:auto}details{margin-left:14px}.leaf{margin-left:28px}summary{cursor:pointer}
details .n,.leaf .n{color:#5b6472;font-size:12px}code{background:#f0f2f6;border-radius:4px;padding:1px 4px;font-size:12px;overflow-wrap:anywhere;white-space:pre-wrap}
`;
