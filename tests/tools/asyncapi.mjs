// Parses the AsyncAPI document on standard input, examples included, and prints every fault that the parser finds.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const { document, diagnostics } = await new Parser().parse(readFileSync(0, "utf8"));
// That AsyncAPI has a newer version is no fault of a document.
const faults = diagnostics.filter((each) => each.code !== "asyncapi-latest-version");
for (const fault of faults) console.log(`${fault.code} at ${fault.path.join(".")}: ${fault.message}`);
if (!document || faults.length > 0) process.exit(1);
console.log(`${document.messages().all().length} messages, ${document.operations().all().length} operations`);
