// Web PubSub, which holds everybody's connection, and its hub.
param name string
param location string
param tags object
param sku string
param units int
param hub string
param principalId string

var webPubSubServiceOwner = '12cf5a90-567b-43ae-8102-96cf46c7d9b4'

resource service 'Microsoft.SignalRService/webPubSub@2024-03-01' = {
  name: name
  location: location
  tags: tags
  sku: { name: sku, capacity: units }
  identity: { type: 'SystemAssigned' } // proves to our webhook that an event is the service's
  properties: {
    disableLocalAuth: true // identities only: there is no connection string to lose
    disableAadAuth: false
  }
}

// The handler of its events needs the app's function key, which exists only after the deployment:
// infra/hooks/connect_hub.py sets it. Provisioning again must not take it away.
@onlyIfNotExists()
resource hubSettings 'Microsoft.SignalRService/webPubSub/hubs@2024-03-01' = {
  parent: service
  name: hub
  properties: { anonymousConnectPolicy: 'deny' }
}

resource right 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: service
  name: guid(service.id, principalId, webPubSubServiceOwner)
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', webPubSubServiceOwner)
  }
}

output id string = service.id
output endpoint string = 'https://${service.properties.hostName}'
output principalId string = service.identity.principalId
