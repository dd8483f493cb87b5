// Web PubSub, its hub and its logs.
param name string
param location string
param tags object
param sku string
param units int
param hub string
param principalId string
param workspaceId string

var webPubSubServiceOwner = '12cf5a90-567b-43ae-8102-96cf46c7d9b4'

resource service 'Microsoft.SignalRService/webPubSub@2024-03-01' = {
  name: name
  location: location
  tags: tags
  sku: { name: sku, capacity: units }
  identity: { type: 'SystemAssigned' } // the subject of the tokens that its events carry
  properties: {
    disableLocalAuth: true // Entra identities only
    disableAadAuth: false
  }
}

// The event handler's URL contains the function key, which exists only after the deployment:
// infra/hooks/connect_hub.py sets it. Provisioning again must not remove it.
@onlyIfNotExists()
resource hubSettings 'Microsoft.SignalRService/webPubSub/hubs@2024-03-01' = {
  parent: service
  name: hub
  properties: { anonymousConnectPolicy: 'deny' }
}

resource role 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: service
  name: guid(service.id, principalId, webPubSubServiceOwner)
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', webPubSubServiceOwner)
  }
}

// Without them a failed event leaves no trace at the service. The API of diagnostic settings has no
// stable version.
resource logs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: service
  name: 'workspace'
  properties: {
    workspaceId: workspaceId
    logAnalyticsDestinationType: 'Dedicated' // tables of its own: WebPubSubMessaging ...
    logs: [
      { category: 'ConnectivityLogs', enabled: true }
      { category: 'MessagingLogs', enabled: true }
    ]
    metrics: [{ category: 'AllMetrics', enabled: true }]
  }
}

output id string = service.id
output endpoint string = 'https://${service.properties.hostName}'
output principalId string = service.identity.principalId
