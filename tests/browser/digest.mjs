// Opens pages in a browser and prints their problems: node digest.mjs MODULES SHOTS VIEWS PAGE.html…
//
// MODULES is the folder of the node_modules of package.json. SHOTS is the folder for pictures, or empty. VIEWS is a list such as
// 320-light,380-dark-axe: width, colour scheme, and `axe` for a check with axe-core, which takes seconds. The browser is Chromium,
// at $CHROMIUM or at Debian's path.
import { createRequire } from 'node:module';
import { mkdirSync, readFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [modules, shots, views, ...pages] = process.argv.slice(2);
const require = createRequire(pathToFileURL(join(resolve(modules), 'package.json')));
const { chromium } = require('playwright-core');
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: [
    '--no-sandbox',
    // Software rendering, and no background requests of the browser.
    '--disable-gpu',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--no-first-run',
  ],
});
const problems = [];

/// Returns problems of charts, such as texts outside of their chart. Runs in the page.
function charts() {
  const found = [];
  for (const svg of document.querySelectorAll('svg')) {
    const name = svg.querySelector('title')?.textContent || 'a chart without a title';
    const box = svg.getBoundingClientRect();
    if (box.width < 200 || box.height < 80) found.push(`${name} is only ${box.width} by ${box.height}`);
    const [, , width, height] = svg.getAttribute('viewBox').split(' ').map(Number);
    for (const text of svg.querySelectorAll('text')) {
      const { x, y, width: w, height: h } = text.getBBox();
      if (x < -1 || y < -1 || x + w > width + 1 || y + h > height + 1) {
        found.push(`${name}: "${text.textContent}" is outside, at ${x},${y} to ${x + w},${y + h}`);
      }
    }
    if (!svg.querySelector('desc')?.textContent) found.push(`${name} has no description`);
    if (!svg.closest('figure')?.querySelector('details table td')) found.push(`${name} has no table behind it`);
  }
  return found;
}

async function visit(page, name, width, scheme, accessible) {
  const wrong = (text) => problems.push(`${name} at ${width} px, ${scheme}: ${text}`);
  const context = await browser.newContext({
    viewport: { width, height: 900 },
    colorScheme: scheme,
    deviceScaleFactor: width < 500 ? 2 : 1,
  });
  const tab = await context.newPage();
  tab.on('console', (message) => message.type() === 'error' && wrong(`console: ${message.text()}`));
  tab.on('pageerror', (error) => wrong(`error: ${error.message}`));
  tab.on('dialog', (dialog) => { wrong(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  const url = pathToFileURL(resolve(page)).href;
  tab.on('request', (request) => request.url() !== url && wrong(`asks for ${request.url()}`));
  await tab.goto(url, { waitUntil: 'load' });

  for (const open of [false, true]) {
    await tab.evaluate((open) => document.querySelectorAll('details').forEach((one) => { one.open = open; }), open);
    const wide = await tab.evaluate(() => document.documentElement.scrollWidth);
    if (wide > width) wrong(`is ${wide} px wide${open ? ' with the tables open' : ''}`);
    if (!open && shots) await tab.screenshot({ path: join(shots, `${name}-${width}-${scheme}.png`), fullPage: true });
  }
  for (const text of await tab.evaluate(charts)) wrong(text);
  if (!(await tab.evaluate(() => document.querySelector('h1')?.textContent))) wrong('has no heading');
  if (!accessible) return context.close();
  await tab.evaluate(axe);
  const { violations } = await tab.evaluate(() => window.axe.run({ resultTypes: ['violations'] }));
  for (const one of violations) wrong(`${one.id}: ${one.help}: ${one.nodes.slice(0, 3).map((node) => node.html).join(' ')}`);
  await context.close();
}

if (shots) mkdirSync(shots, { recursive: true });
for (const page of pages) {
  for (const view of views.split(',')) {
    const [width, scheme, accessible] = view.split('-');
    await visit(page, basename(page, '.html'), Number(width), scheme, accessible === 'axe');
  }
}
await browser.close();
if (problems.length > 0) {
  console.error(problems.join('\n'));
  process.exitCode = 1;
}
