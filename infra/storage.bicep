// The tables of the app, the package it runs from, and the blobs that keep its timers single.
param name string
param location string
param tags object
param principalId string

var blobDataOwner = 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
var tableDataContributor = '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3'

resource account 'Microsoft.Storage/storageAccounts@2024-01-01' = {
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: 'Standard_LRS' }
  properties: {
    allowSharedKeyAccess: false // identities only: there is no key to lose
    allowBlobPublicAccess: false
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
  }

  resource blobs 'blobServices' = {
    name: 'default'

    resource packages 'containers' = {
      name: 'packages'
    }
  }

  resource tables 'tableServices' = {
    name: 'default'
  }
}

// The app makes a table that is missing; made here, no first message waits for that.
resource table 'Microsoft.Storage/storageAccounts/tableServices/tables@2024-01-01' = [
  for tableName in ['bans', 'history', 'logs', 'memberships', 'presence', 'rooms', 'streams', 'subscriptions']: {
    parent: account::tables
    name: tableName
  }
]

resource rights 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in [blobDataOwner, tableDataContributor]: {
    scope: account
    name: guid(account.id, principalId, role)
    properties: {
      principalId: principalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
    }
  }
]

output blobEndpoint string = account.properties.primaryEndpoints.blob
output tablesEndpoint string = account.properties.primaryEndpoints.table
output packages string = '${account.properties.primaryEndpoints.blob}${account::blobs::packages.name}'
