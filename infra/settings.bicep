// The app settings. Settings that were added elsewhere, for example in the portal, stay.
param app string

@secure()
@description('The app settings before this deployment.')
param current object

param clientId string
param blobEndpoint string
param tablesEndpoint string
param webPubSubEndpoint string
param webPubSubPrincipalId string
param webhookAudience string
param sessionSecretUri string
param insightsConnectionString string
param settings object

// Entra tokens are of version 1 or 2, as the app registration of the audience defines. The two name
// the issuer and the audience differently:
// learn.microsoft.com/entra/identity-platform/access-token-claims-reference
var tenantId = tenant().tenantId
var issuers = [
  'https://sts.windows.net/${tenantId}/'
  '${environment().authentication.loginEndpoint}${tenantId}/v2.0'
]
// Without a value the one that the postdeploy hook has set stays.
var audience = empty(webhookAudience)
  ? {}
  : { WEBHOOK_AUDIENCE: '${webhookAudience},${replace(webhookAudience, 'api://', '')}' }

resource site 'Microsoft.Web/sites@2025-05-01' existing = {
  name: app
}

resource appSettings 'Microsoft.Web/sites/config@2025-05-01' = {
  parent: site
  name: 'appsettings'
  properties: union(current, settings, audience, {
    AZURE_CLIENT_ID: clientId
    AzureWebJobsStorage__blobServiceUri: blobEndpoint
    AzureWebJobsStorage__credential: 'managedidentity'
    AzureWebJobsStorage__clientId: clientId
    // Without it the host responds to HEAD, OPTIONS and POST on / with its welcome page.
    AzureWebJobsDisableHomepage: 'true'
    APPLICATIONINSIGHTS_CONNECTION_STRING: insightsConnectionString
    APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${clientId};Authorization=AAD'
    WEBPUBSUB_ENDPOINT: webPubSubEndpoint
    TABLES_ENDPOINT: tablesEndpoint
    WEBHOOK_ISSUER: join(issuers, ',')
    WEBHOOK_SUBJECT: webPubSubPrincipalId
    SESSION_SECRET: '@Microsoft.KeyVault(SecretUri=${sessionSecretUri})'
    // App Service Authentication uses the app's identity in place of a client secret.
    OVERRIDE_USE_MI_FIC_ASSERTION_CLIENTID: clientId
  })
}
