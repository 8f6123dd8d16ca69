// A workflow file as GitHub's own parser and evaluator take it (npm: @actions/workflow-parser, @actions/expressions).
// One question as JSON on standard input, its answer as JSON on standard output; a mistake in the file is an exit code.
import { readFileSync } from "node:fs";

const modules = `${process.env.TIDEGATE_TEST_WORKFLOWS}/node_modules/@actions`;
const { parseWorkflow, convertWorkflowTemplate, NoOperationTraceWriter } =
  await import(`${modules}/workflow-parser/dist/index.js`);
const { data, Evaluator, Lexer, Parser } = await import(`${modules}/expressions/dist/index.js`);

const question = JSON.parse(readFileSync(0, "utf8"));
const trace = new NoOperationTraceWriter();
const parsed = parseWorkflow({ name: question.path, content: question.text }, trace);
const wrong = parsed.context.errors.getErrors().map((error) => error.message);
if (!parsed.value || wrong.length > 0) refuse(wrong);
const template = await convertWorkflowTemplate(parsed.context, parsed.value);
if (template.errors?.length > 0) refuse(template.errors.map((error) => error.Message));

const contexts = JSON.parse(JSON.stringify(question.contexts ?? {}), data.reviver);
const functions = ["always", "success", "failure", "cancelled"].map((name) => {
  const is = new data.BooleanData(name === "always" || name === question.status);
  return { name, minArgs: 0, maxArgs: 0, call: () => is };
});

const asked = { inputs, job, step, outputs, told };
process.stdout.write(JSON.stringify(asked[question.ask]()));

function refuse(mistakes) {
  process.stderr.write(`${question.path}: ${mistakes.join("; ")}\n`);
  process.exit(1);
}

// The `inputs` context: what the event hands over by its types, and the defaults of the rest.
function inputs() {
  const declared = template.events[question.event]?.inputs ?? {};
  const stranger = Object.keys(question.given).find((name) => !(name in declared));
  if (stranger) refuse([`${question.event} has no input ${stranger}`]);
  const one = ([name, about]) => {
    const text = question.given[name] ?? about.default?.value ?? about.default ?? "";
    return [name, about.type === "boolean" ? String(text) === "true" : String(text)];
  };
  return Object.fromEntries(Object.entries(declared).map(one));
}

// A job: whether it runs, and what it calls where it has no steps. Its other texts are only evaluated.
function job() {
  const of = only();
  if (template.env || of.env) refuse(["`env:` of a workflow or a job is not known to this test"]);
  const others = [of.concurrency, of.environment, template.concurrency, at(parsed.value, "run-name")];
  others.filter(Boolean).forEach(evaluated);
  const permissions = evaluated(at(at(at(parsed.value, "jobs"), of.id.value), "permissions"));
  const calls = of.ref?.value ?? null;
  const inputs = of["input-values"] ? evaluated(of["input-values"]) : {};
  return { id: of.id.value, runs: truth(of.if), calls, inputs, permissions, steps: of.steps?.length ?? 0 };
}

function step() {
  const of = only().steps[question.step];
  if (of.env) refuse(["`env:` of a step is not known to this test"]);
  return { id: of.id, runs: truth(of.if), uses: of.uses.value, with: withOf() };
}

// The parser keeps no `with` of a step.
function withOf() {
  const of = at(at(at(at(parsed.value, "jobs"), only().id.value), "steps"), question.step);
  const inputs = at(of, "with");
  return inputs ? evaluated(inputs) : {};
}

function outputs() {
  const of = only().outputs;
  return of ? evaluated(of) : {};
}

// What a called workflow hands to its caller.
function told() {
  const declared = at(at(at(parsed.value, "on"), "workflow_call"), "outputs");
  const values = declared ? evaluated(declared) : {};
  return Object.fromEntries(Object.entries(values).map(([name, about]) => [name, about.value]));
}

function only() {
  return template.jobs.length === 1 ? template.jobs[0] : refuse(["more than one job is not known to this test"]);
}

function at(token, key) {
  if (token === undefined) return undefined;
  if (typeof key === "number") return token.get(key);
  for (let n = 0; n < token.count; n++) if (token.get(n).key.toString() === key) return token.get(n).value;
  return undefined;
}

function truth(token) {
  const value = expression(token);
  return value.kind === data.Kind.Null ? false : !["", "false", "0"].includes(value.coerceString());
}

function expression(token) {
  const parser = new Parser(new Lexer(token.expression).lex().tokens, Object.keys(question.contexts ?? {}), functions);
  return new Evaluator(parser.parse(), contexts, new Map(functions.map((of) => [of.name, of]))).evaluate();
}

// Every scalar as the text that it comes to.
function evaluated(token) {
  if (token.expression !== undefined) return expression(token).coerceString();
  if (token.count === undefined) return token.toString();
  const entries = Array.from({ length: token.count }, (_, n) => token.get(n));
  if (entries[0]?.key === undefined) return entries.map(evaluated);
  return Object.fromEntries(entries.map(({ key, value }) => [key.toString(), evaluated(value)]));
}
