// Swagger UI for /api/openapi.json.
import "swagger-ui-dist/swagger-ui.css";
import SwaggerUI from "swagger-ui-dist/swagger-ui-es-bundle.js";

SwaggerUI({
  domNode: document.getElementById("reference"),
  url: "/api/openapi.json",
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  validatorUrl: null, // the badge would send the document to a server of others
});
