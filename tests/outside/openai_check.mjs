// Our API through OpenAI's own client: models, chat, streams, JSON output, completions, embeddings, errors.
// Prints a line for each comparison; exit code 1 if any is off.
//   node openai_check.mjs BASE_URL TOKEN

import OpenAI, { AuthenticationError, BadRequestError, NotFoundError } from "openai";

const [baseURL, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
let failed = false;

function expect(what, holds) {
  console.log(`${holds ? "ok" : "OFF"}: ${what}`);
  if (!holds) failed = true;
}
async function refused(what, kind, call, check = () => true) {
  try {
    await call();
    expect(what, false);
  } catch (error) {
    expect(`${what}: ${error.message}`, error instanceof kind && check(error));
  }
}

const messages = [{ role: "system", content: "Tell a story." }, { role: "user", content: "Of a cat." }];
const greedy = { model: "base", messages, max_tokens: 20, temperature: 0 };

const models = [];
for await (const model of client.models.list()) models.push(model.id);
expect(`models: ${models}`, models.join() === "base,home");
expect("one model", (await client.models.retrieve("home")).id === "home");

const chat = await client.chat.completions.create(greedy);
expect("a chat's text", chat.choices[0].message.role === "assistant" && chat.choices[0].message.content.length > 0);
expect("its end", ["stop", "length"].includes(chat.choices[0].finish_reason));
expect("its usage", chat.usage.total_tokens === chat.usage.prompt_tokens + chat.usage.completion_tokens);
const adapted = await client.chat.completions.create({ ...greedy, model: "home" });
expect("an adapter answers otherwise", adapted.choices[0].message.content !== chat.choices[0].message.content);
expect("fingerprints tell them apart", adapted.system_fingerprint !== chat.system_fingerprint);

let streamed = "";
let usage = null;
const stream = await client.chat.completions.create({ ...greedy, stream: true, stream_options: { include_usage: true } });
for await (const chunk of stream) {
  streamed += chunk.choices[0]?.delta?.content ?? "";
  usage = chunk.usage ?? usage;
}
expect("a stream is the same text", streamed === chat.choices[0].message.content);
expect("a stream's usage", usage?.completion_tokens === chat.usage.completion_tokens);

const probable = await client.chat.completions.create({ ...greedy, max_tokens: 3, logprobs: true, top_logprobs: 2 });
const tokens = probable.choices[0].logprobs.content;
expect("log-probabilities", tokens.length === 3 && tokens.every((one) => one.logprob <= 0 && one.top_logprobs.length === 2));

const schema = {
  type: "object",
  properties: { name: { type: "string" }, age: { type: "integer" }, pets: { type: "array", items: { enum: ["cat", "dog"] }, maxItems: 3 } },
  required: ["age", "pets"],
  additionalProperties: false,
};
const json = await client.chat.completions.create({
  ...greedy, temperature: 1, seed: 5, max_tokens: 300,
  response_format: { type: "json_schema", json_schema: { name: "person", strict: true, schema } },
});
const person = json.choices[0].finish_reason === "stop" ? JSON.parse(json.choices[0].message.content) : null;
expect(`JSON by schema: ${json.choices[0].message.content}`,
  person !== null && Number.isInteger(person.age) && person.pets.every((pet) => ["cat", "dog"].includes(pet)));

const completion = await client.completions.create({ model: "base", prompt: "Once upon a time", max_tokens: 10, temperature: 0 });
expect(`a completion: ${completion.choices[0].text}`, completion.choices[0].text.length > 0);

// The client asks for base64 unless told otherwise, and decodes it.
const input = ["a cat", "a dog"];
const asBytes = await client.embeddings.create({ model: "base", input });
const asNumbers = await client.embeddings.create({ model: "base", input, encoding_format: "float" });
const off = asBytes.data[1].embedding.map((value, i) => Math.abs(value - asNumbers.data[1].embedding[i]));
expect("embeddings", asBytes.data.length === 2 && off.length > 0 && Math.max(...off) < 1e-6);

const many = await Promise.all(Array.from({ length: 8 }, () => client.chat.completions.create(greedy)));
expect("many at once", many.every((one) => one.choices[0].message.content === chat.choices[0].message.content));

await refused("an unknown model", NotFoundError, () => client.chat.completions.create({ ...greedy, model: "gpt-4" }),
  (error) => error.code === "model_not_found" && error.param === "model");
await refused("tools", BadRequestError, () => client.chat.completions.create({ ...greedy, tools: [{ type: "function", function: { name: "f" } }] }),
  (error) => error.param === "tools" && error.type === "invalid_request_error");
await refused("a wrong token", AuthenticationError, () => new OpenAI({ baseURL, apiKey: "x", maxRetries: 0 }).models.list(),
  (error) => error.code === "invalid_api_key");
const stopping = await client.chat.completions.create({ ...greedy, max_tokens: 200, stream: true });
for await (const chunk of stopping) {
  if (chunk.choices[0]?.delta?.content) break;  // the client cuts the connection
}
expect("after a cut stream", (await client.chat.completions.create(greedy)).choices.length === 1);

process.exit(failed ? 1 : 0);
