// Starts Swagger UI with this server's OpenAPI document. Without a validator, which would be an
// external service.
globalThis.SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
});
