"""How the report looks: one style sheet, light and dark, paper and phone."""

from __future__ import annotations

CSS = """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --panel: #f6f8fa; --ink: #1b2530; --muted: #5d6975; --line: #e2e6eb;
  --first: #1e5fa6; --second: #b4521a; --good: #1f7a4d; --bad: #b3312c; --even: #7a6415;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #11161c; --panel: #192028; --ink: #e3e8ee; --muted: #98a4b1; --line: #2c3641;
    --first: #6cacf0; --second: #f09a60; --good: #62c796; --bad: #f08a84; --even: #d9bf66;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial,
    "Noto Sans", "PingFang SC", "Hiragino Sans GB", "Microsoft YaHei", "Noto Sans CJK SC",
    "Source Han Sans SC", "WenQuanYi Micro Hei", sans-serif;
}
main { max-width: 1080px; margin: 0 auto; padding: 40px 28px 64px; }
header { border-bottom: 1px solid var(--line); padding-bottom: 22px; }
.kicker { color: var(--muted); font-size: 13px; margin: 0 0 10px; overflow-wrap: anywhere; }
.kicker b { color: var(--ink); font-weight: 600; }
h1 { font-size: 27px; line-height: 1.28; font-weight: 650; letter-spacing: -.012em; margin: 0;
  max-width: 34em; text-wrap: pretty; }
h1 .aside { display: block; font-size: 16px; font-weight: 400; letter-spacing: 0;
  color: var(--muted); margin-top: 8px; line-height: 1.5; }
.verdict { display: inline-block; width: .5em; height: .5em; border-radius: 50%;
  margin-right: .45em; vertical-align: .12em; background: var(--muted); }
.verdict.beats { background: var(--good); } .verdict.ties { background: var(--even); }
.verdict.below { background: var(--bad); }
h2 { font-size: 18px; font-weight: 650; margin: 46px 0 4px; letter-spacing: -.005em; }
h3 { font-size: 14px; font-weight: 600; margin: 22px 0 6px; }
p { margin: 6px 0 12px; max-width: 46em; }
.note { color: var(--muted); font-size: 14px; }
nav { margin-top: 16px; font-size: 13px; display: flex; flex-wrap: wrap; gap: 4px 18px; }
nav a, a { color: var(--first); text-decoration: none; } a:hover { text-decoration: underline; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 1px;
  background: var(--line); border: 1px solid var(--line); border-radius: 8px; overflow: hidden;
  margin: 24px 0 8px; }
.tile { background: var(--paper); padding: 14px 16px 12px; }
.tile .of { color: var(--muted); font-size: 13px; }
.tile .value { font-size: 25px; font-weight: 600; line-height: 1.3;
  font-variant-numeric: tabular-nums;
  letter-spacing: -.01em; white-space: nowrap; }
.tile .more { color: var(--muted); font-size: 12.5px; font-variant-numeric: tabular-nums; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(290px, 1fr));
  gap: 20px 28px; }
.two { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 0 40px;
  align-items: start; }
figure { margin: 14px 0 0; min-width: 0; }
figcaption { font-size: 14px; font-weight: 600; margin-bottom: 4px; }
figure svg { display: block; width: 100%; height: auto; }
figure svg text { font-family: inherit; }
.wide { overflow-x: auto; margin: 10px 0; -webkit-overflow-scrolling: touch; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px; }
table.full { width: 100%; }
#measured ~ .wide table, #folds ~ .wide table { max-width: 780px; }
th { text-align: left; font-weight: 600; color: var(--muted); font-size: 13px;
  white-space: nowrap; }
th, td { padding: 6px 14px 6px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th:last-child, td:last-child { padding-right: 0; }
.n { text-align: right; white-space: nowrap; }
.name { overflow-wrap: anywhere; }
tbody tr:last-child td { border-bottom: 0; }
.better { font-weight: 600; }
.bar { display: inline-block; height: 8px; border-radius: 2px; background: var(--first);
  vertical-align: middle; }
.track { display: block; min-width: 70px; width: 100%; }
table.confusion { border-collapse: separate; border-spacing: 2px; font-size: 13px; }
table.confusion th, table.confusion td { border: 0; padding: 0; }
table.confusion td { min-width: 34px; height: 32px; text-align: center; border-radius: 3px;
  vertical-align: middle; padding: 0 4px; background: var(--panel); }
table.confusion.few td { min-width: 62px; height: 46px; font-size: 14px; }
table.confusion td.none { color: transparent; }
table.confusion td.strong { color: var(--paper); }
table.confusion tbody th { padding-right: 8px; text-align: right; font-weight: 400;
  color: var(--ink);
  vertical-align: middle; max-width: 12em; overflow: hidden; text-overflow: ellipsis; }
table.confusion thead th { font-weight: 400; color: var(--ink); text-align: center;
  vertical-align: bottom; padding: 0 2px 4px; }
table.confusion.turned thead th span { writing-mode: vertical-rl; transform: rotate(180deg);
  max-height: 11em; overflow: hidden; text-overflow: ellipsis; }
.heat svg { min-width: 620px; max-width: 900px; }
.heat text { fill: var(--ink); font-size: 9px; }
.errors { list-style: none; margin: 10px 0 0; padding: 0; }
.errors li { border-top: 1px solid var(--line); padding: 12px 0; }
.errors .text { overflow-wrap: anywhere; white-space: pre-line; }
.errors .what { font-size: 13px; color: var(--muted); margin-top: 4px; overflow-wrap: anywhere; }
.errors .what b { color: var(--ink); font-weight: 600; }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 4px 20px;
  margin: 10px 0; font-size: 14px; }
dt { color: var(--muted); } dd { margin: 0; overflow-wrap: anywhere; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 6px;
  padding: 12px 14px;
  overflow-x: auto; font: 13px/1.6 ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono",
  "Noto Sans Mono CJK SC", monospace; margin: 8px 0 14px; }
code { font: .93em ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace; }
details { border-top: 1px solid var(--line); padding: 10px 0; }
details:last-of-type { border-bottom: 1px solid var(--line); }
summary { cursor: pointer; font-weight: 600; font-size: 14px; }
footer { margin-top: 44px; color: var(--muted); font-size: 13px; }
@media (max-width: 720px) {
  main { padding: 22px 16px 48px; }
  h1 { font-size: 21px; } h1 .aside { font-size: 14.5px; }
  .two { grid-template-columns: minmax(0, 1fr); }
  .tiles { grid-template-columns: 1fr 1fr; }
  .tile { padding: 11px 12px 10px; }
  .tile .value { font-size: 21px; }
  h2 { margin-top: 36px; }
  dl { grid-template-columns: minmax(0, 1fr); gap: 0; } dd { margin-bottom: 8px; }
}
@media print {
  main { max-width: none; padding: 0; } nav { display: none; } h2 { break-after: avoid; }
  figure, .errors li, tr { break-inside: avoid; } pre { white-space: pre-wrap; }
}
"""
