// All Azure resources of Townsquare: one resource group, one module for each kind of resource.
targetScope = 'subscription'

@minLength(1)
@maxLength(64)
@description('Name of the azd environment. The resource group is rg-<name>.')
param environmentName string

@description('Region of all resources. The list has the regions that offer Flex Consumption; the preprovision hook checks that Web PubSub is offered there too.')
@metadata({ azd: { type: 'location' } })
@allowed([
  'australiaeast'
  'australiasoutheast'
  'brazilsouth'
  'canadacentral'
  'centralindia'
  'centralus'
  'eastasia'
  'eastus'
  'eastus2'
  'francecentral'
  'germanywestcentral'
  'italynorth'
  'japaneast'
  'koreacentral'
  'northcentralus'
  'northeurope'
  'norwayeast'
  'southafricanorth'
  'southcentralus'
  'southeastasia'
  'southindia'
  'spaincentral'
  'swedencentral'
  'uaenorth'
  'uksouth'
  'ukwest'
  'westcentralus'
  'westeurope'
  'westus'
  'westus2'
  'westus3'
])
param location string

@description('Object id of the user or service principal that deploys. It gets the role Key Vault Secrets Officer on the vault; without an id no principal does.')
param principalId string = ''

// Without a default: azd asks for it, or takes IDENTITY of its environment.
@allowed(['guest', 'easyauth', 'oidc'])
@description('Who may enter. guest: everybody, under a name of their choice. easyauth: accounts of App Service Authentication. oidc: accounts of your OpenID Connect issuer. docs/deploy.md compares them.')
param identityProvider string

@description('App settings that the deployer chooses; main.parameters.json fills them from the azd environment.')
param settings object

@description('Application ID URI for which Web PubSub requests its tokens; the preprovision hook registers one.')
param webhookAudience string = ''

@allowed(['standard', 'trial', 'production'])
@description('trial: Free_F1 and slow streams. production: one instance is always ready. docs/cost.md compares them.')
param profile string = 'standard'

@allowed(['', 'Free_F1', 'Standard_S1', 'Premium_P1'])
@description('SKU of Web PubSub, or empty for that of the profile.')
param webPubSubSku string = ''

@minValue(1)
@maxValue(100)
@description('Units of Web PubSub, 1,000 connections each. Free_F1 has one unit with 20 connections.')
param webPubSubUnits int = 1

@allowed([512, 2048, 4096])
@description('Memory of an instance in MB. Timers are billed by it: docs/cost.md.')
param instanceMemory int = 512

@minValue(1)
@maxValue(1000)
@description('Concurrent HTTP requests of one instance; app.bicep explains why it is not 1.')
param httpConcurrency int = 16

@minValue(-1)
@maxValue(20)
@description('Instances that are always ready for HTTP, which avoids cold starts; -1 for those of the profile.')
param alwaysReady int = -1

@description('Client id of the app registration for sign-in (IDENTITY=easyauth), or empty.')
param authenticationClientId string = ''

@description('E-mail address that receives the alerts, or empty for no alerts.')
param alertEmail string = ''

@minValue(0)
@description('Monthly budget in the billing currency, or 0 for none. It sends mails to alertEmail; it stops nothing.')
param monthlyBudget int = 0

@description('GB a day that the Log Analytics workspace accepts, a decimal number; -1 means no limit.')
param logsDailyCapGb string = '1'

@description('Reach storage and vault through private endpoints only.')
param vnetEnabled bool = false

@description('Purge protection of the vault. It cannot be turned off, and the name stays reserved for 90 days after azd down.')
param vaultPurgeProtection bool = false

var profiles = {
  standard: { sku: 'Standard_S1', alwaysReady: 0, settings: {} }
  trial: {
    sku: 'Free_F1'
    alwaysReady: 0
    settings: { STOCKS_SCHEDULE: '*/30 * * * * *', METRICS_SCHEDULE: '*/30 * * * * *' }
  }
  production: { sku: 'Standard_S1', alwaysReady: 1, settings: {} }
}
var chosen = profiles[profile]

var token = toLower(uniqueString(subscription().id, environmentName, location))
var tags = { 'azd-env-name': environmentName }

resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
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
  params: {
    name: 'st${token}'
    location: location
    tags: tags
    principalId: identity.outputs.principalId
    publicAccess: !vnetEnabled
  }
}

module webPubSub 'webpubsub.bicep' = {
  scope: group
  params: {
    name: 'wps-${token}'
    location: location
    tags: tags
    sku: empty(webPubSubSku) ? chosen.sku : webPubSubSku
    units: webPubSubUnits
    hub: settings.WEBPUBSUB_HUB
    principalId: identity.outputs.principalId
    workspaceId: monitoring.outputs.workspaceId
  }
}

module vault 'vault.bicep' = {
  scope: group
  params: {
    name: 'kv-${token}'
    location: location
    tags: tags
    principalId: identity.outputs.principalId
    deployerId: principalId
    publicAccess: !vnetEnabled
    purgeProtection: vaultPurgeProtection
  }
}

module monitoring 'monitoring.bicep' = {
  scope: group
  params: {
    name: token
    location: location
    tags: tags
    principalId: identity.outputs.principalId
    dailyCapGb: logsDailyCapGb
  }
}

module network 'network.bicep' = if (vnetEnabled) {
  scope: group
  params: {
    name: token
    location: location
    tags: tags
    storageId: storage.outputs.id
    vaultId: vault.outputs.id
  }
}

module app 'app.bicep' = {
  scope: group
  params: {
    name: 'func-${token}'
    location: location
    tags: tags
    identityId: identity.outputs.id
    packages: storage.outputs.packages
    subnetId: vnetEnabled ? network!.outputs.appSubnetId : ''
    instanceMemory: instanceMemory
    httpConcurrency: httpConcurrency
    alwaysReady: alwaysReady < 0 ? chosen.alwaysReady : alwaysReady
    clientId: identity.outputs.clientId
    blobEndpoint: storage.outputs.blobEndpoint
    tablesEndpoint: storage.outputs.tablesEndpoint
    webPubSubEndpoint: webPubSub.outputs.endpoint
    webPubSubPrincipalId: webPubSub.outputs.principalId
    webhookAudience: webhookAudience
    sessionSecretUri: vault.outputs.sessionSecretUri
    insightsConnectionString: monitoring.outputs.connectionString
    settings: union(settings, chosen.settings, { IDENTITY: identityProvider })
    authenticationClientId: authenticationClientId
  }
}

module workbook 'workbook.bicep' = {
  scope: group
  params: {
    location: location
    tags: tags
    workspaceId: monitoring.outputs.workspaceId
    webPubSubId: webPubSub.outputs.id
  }
}

module alerts 'alerts.bicep' = if (!empty(alertEmail)) {
  scope: group
  params: {
    location: location
    tags: tags
    email: alertEmail
    webPubSubId: webPubSub.outputs.id
    insightsId: monitoring.outputs.insightsId
    workspaceId: monitoring.outputs.workspaceId
    appUrl: app.outputs.url
  }
}

module budget 'budget.bicep' = if (monthlyBudget > 0 && !empty(alertEmail)) {
  scope: group
  params: { amount: monthlyBudget, email: alertEmail }
}

// azd stores the outputs in its environment; the hooks and the doctor read them there.
output AZURE_LOCATION string = location
// The answer to azd's question, which the hooks and the pipeline need too.
output IDENTITY string = identityProvider
output AZURE_TENANT_ID string = tenant().tenantId
output AZURE_RESOURCE_GROUP string = group.name
output AZURE_KEY_VAULT_NAME string = vault.outputs.name
output SERVICE_APP_NAME string = app.outputs.name
output APP_ID string = app.outputs.id
output APP_URL string = app.outputs.url
output STORAGE_ID string = storage.outputs.id
output WEBPUBSUB_ID string = webPubSub.outputs.id
output WEBPUBSUB_ENDPOINT string = webPubSub.outputs.endpoint
output TABLES_ENDPOINT string = storage.outputs.tablesEndpoint
