// The function app on Flex Consumption.
param name string
param location string
param tags object
param identityId string
param packages string
param subnetId string
param instanceMemory int
param httpConcurrency int
param alwaysReady int
param clientId string
param blobEndpoint string
param tablesEndpoint string
param webPubSubEndpoint string
param webPubSubPrincipalId string
param webhookAudience string
param sessionSecretUri string
param insightsConnectionString string
param settings object
param authenticationClientId string

// The platform answers the CORS questions of browsers; the app sends no CORS headers.
var origins = map(split(settings.ALLOWED_ORIGINS, ','), origin => trim(origin))
var allowedOrigins = filter(origins, origin => !empty(origin))

resource plan 'Microsoft.Web/serverfarms@2025-05-01' = {
  name: 'plan-${name}'
  location: location
  tags: tags
  kind: 'functionapp'
  sku: { name: 'FC1', tier: 'FlexConsumption' }
  properties: { reserved: true }
}

resource app 'Microsoft.Web/sites@2025-05-01' = {
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
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    siteConfig: {
      minTlsVersion: '1.2'
      cors: { allowedOrigins: allowedOrigins, supportCredentials: false }
    }
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
        // The default for Python is 1: one instance for every concurrent request. The requests of
        // this app wait for tables and Web PubSub, and messages that are appended on the same
        // instance share a transaction, so an instance should serve many of them.
        triggers: { http: { perInstanceConcurrency: httpConcurrency } }
      }
    }
  }

  // Deployments use Entra tokens; nothing needs the publishing user name and password.
  resource publishing 'basicPublishingCredentialsPolicies' = [
    for protocol in ['ftp', 'scm']: {
      name: protocol
      properties: { allow: false }
    }
  ]
}

module appSettings 'settings.bicep' = {
  params: {
    app: app.name
    current: list('${app.id}/config/appsettings', '2025-05-01').properties
    clientId: clientId
    blobEndpoint: blobEndpoint
    tablesEndpoint: tablesEndpoint
    webPubSubEndpoint: webPubSubEndpoint
    webPubSubPrincipalId: webPubSubPrincipalId
    webhookAudience: webhookAudience
    sessionSecretUri: sessionSecretUri
    insightsConnectionString: insightsConnectionString
    settings: settings
  }
}

module authentication 'authentication.bicep' = if (!empty(authenticationClientId)) {
  params: {
    app: app.name
    clientId: authenticationClientId
    webhookAudience: webhookAudience
  }
  dependsOn: [appSettings] // both restart the app
}

output id string = app.id
output name string = app.name
output url string = 'https://${app.properties.defaultHostName}'
