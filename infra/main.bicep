// Everything that Townsquare needs in Azure: one resource group, one file for each kind of thing.
targetScope = 'subscription'

@minLength(1)
@maxLength(64)
@description('The name of the azd environment; the resource group is called after it.')
param environmentName string

@minLength(1)
@description('The region. One where Flex Consumption is offered: az functionapp list-flexconsumption-locations')
param location string

@description('The settings that a person chooses; main.parameters.json fills them from the azd environment.')
param settings object

@description('The application id URI that Web PubSub asks its token for; the preprovision hook makes one.')
param webhookAudience string

@allowed(['Free_F1', 'Standard_S1', 'Premium_P1'])
param webPubSubSku string = 'Standard_S1'

@description('1,000 connections each. Free has one unit of 20 connections.')
param webPubSubUnits int = 1

@allowed([512, 2048, 4096])
@description('Memory of an instance in MB. A timer that never rests is billed by it: docs/cost.md.')
param instanceMemory int = 512

@description('HTTP requests that one instance answers at once; why not 1 is told in app.bicep.')
param httpConcurrency int = 16

@description('Instances that always wait for HTTP, so that no event meets a cold start. 0 is cheapest.')
param alwaysReady int = 0

@description('The client id of an app registration to sign people in with (IDENTITY=easyauth), or empty.')
param authenticationClientId string = ''

@description('Who gets a mail when something is wrong, or empty for no alerts.')
param alertEmail string = ''

var token = toLower(uniqueString(subscription().id, environmentName, location))
var tags = { 'azd-env-name': environmentName }

resource group 'Microsoft.Resources/resourceGroups@2024-11-01' = {
  name: 'rg-${environmentName}'
  location: location
  tags: tags
}

module identity 'identity.bicep' = {
  scope: group
  params: { name: 'id-${token}', location: location, tags: tags }
}

module storage 'storage.bicep' = {
  scope: group
  params: { name: 'st${token}', location: location, tags: tags, principalId: identity.outputs.principalId }
}

module webPubSub 'webpubsub.bicep' = {
  scope: group
  params: {
    name: 'wps-${token}'
    location: location
    tags: tags
    sku: webPubSubSku
    units: webPubSubUnits
    hub: settings.WEBPUBSUB_HUB
    principalId: identity.outputs.principalId
  }
}

module vault 'vault.bicep' = {
  scope: group
  params: { name: 'kv-${token}', location: location, tags: tags, principalId: identity.outputs.principalId }
}

module monitoring 'monitoring.bicep' = {
  scope: group
  params: { name: token, location: location, tags: tags, principalId: identity.outputs.principalId }
}

module app 'app.bicep' = {
  scope: group
  params: {
    name: 'func-${token}'
    location: location
    tags: tags
    identityId: identity.outputs.id
    clientId: identity.outputs.clientId
    blobEndpoint: storage.outputs.blobEndpoint
    tablesEndpoint: storage.outputs.tablesEndpoint
    packages: storage.outputs.packages
    webPubSubEndpoint: webPubSub.outputs.endpoint
    webPubSubPrincipalId: webPubSub.outputs.principalId
    webhookAudience: webhookAudience
    sessionSecretUri: vault.outputs.sessionSecretUri
    telemetry: monitoring.outputs.connectionString
    settings: settings
    authenticationClientId: authenticationClientId
    instanceMemory: instanceMemory
    httpConcurrency: httpConcurrency
    alwaysReady: alwaysReady
  }
}

module alerts 'alerts.bicep' = if (!empty(alertEmail)) {
  scope: group
  params: {
    tags: tags
    email: alertEmail
    webPubSubId: webPubSub.outputs.id
    insightsId: monitoring.outputs.insightsId
  }
}

// What the hooks and `python -m local.doctor` need to know.
output APP_ID string = app.outputs.id
output APP_URL string = app.outputs.url
output WEBPUBSUB_ID string = webPubSub.outputs.id
output WEBPUBSUB_ENDPOINT string = webPubSub.outputs.endpoint
output TABLES_ENDPOINT string = storage.outputs.tablesEndpoint
output AZURE_KEY_VAULT_NAME string = vault.outputs.name
