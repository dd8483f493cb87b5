// The function app on Flex Consumption, and its settings.
param name string
param location string
param tags object
param identityId string
param clientId string
param blobEndpoint string
param tablesEndpoint string
param packages string
param webPubSubEndpoint string
param webPubSubPrincipalId string
param webhookAudience string
param sessionSecretUri string
param telemetry string
param settings object
param authenticationClientId string
param instanceMemory int
param httpConcurrency int
param alwaysReady int

resource plan 'Microsoft.Web/serverfarms@2024-04-01' = {
  name: 'plan-${name}'
  location: location
  tags: tags
  kind: 'functionapp'
  sku: { name: 'FC1', tier: 'FlexConsumption' }
  properties: { reserved: true }
}

resource app 'Microsoft.Web/sites@2024-04-01' = {
  name: name
  location: location
  tags: union(tags, { 'azd-service-name': 'app' })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identityId}': {} }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    keyVaultReferenceIdentity: identityId
    siteConfig: { minTlsVersion: '1.2' }
    functionAppConfig: {
      runtime: { name: 'python', version: '3.13' }
      deployment: {
        storage: {
          type: 'blobContainer'
          value: packages
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemory
        maximumInstanceCount: 40
        alwaysReady: alwaysReady > 0 ? [{ name: 'http', instanceCount: alwaysReady }] : []
        // Python's default is 1: an instance for every request that waits for a table. Our requests
        // only wait, and messages that meet on one instance are kept in one transaction; so many
        // of them should meet.
        triggers: { http: { perInstanceConcurrency: httpConcurrency } }
      }
    }
  }

  resource appSettings 'config' = {
    name: 'appsettings'
    properties: union(settings, {
      AZURE_CLIENT_ID: clientId
      AzureWebJobsStorage__blobServiceUri: blobEndpoint
      AzureWebJobsStorage__credential: 'managedidentity'
      AzureWebJobsStorage__clientId: clientId
      APPLICATIONINSIGHTS_CONNECTION_STRING: telemetry
      APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${clientId};Authorization=AAD'
      WEBPUBSUB_ENDPOINT: webPubSubEndpoint
      TABLES_ENDPOINT: tablesEndpoint
      // Tokens of version 1, which is what an app registration gives unless told otherwise.
      WEBHOOK_ISSUER: 'https://sts.windows.net/${tenant().tenantId}/'
      WEBHOOK_AUDIENCE: webhookAudience
      WEBHOOK_SUBJECT: webPubSubPrincipalId
      SESSION_SECRET: '@Microsoft.KeyVault(SecretUri=${sessionSecretUri})'
      // Read by App Service Authentication: the app's identity stands in for a client secret.
      OVERRIDE_USE_MI_FIC_ASSERTION_CLIENTID: clientId
    })
  }
}

module authentication 'authentication.bicep' = if (!empty(authenticationClientId)) {
  params: { app: app.name, clientId: authenticationClientId }
}

output id string = app.id
output url string = 'https://${app.properties.defaultHostName}'
