// The tables of the app, its package, and the blobs with the locks of its timers.
param name string
param location string
param tags object
param principalId string
param publicAccess bool

var blobDataOwner = 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
var tableDataContributor = '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3'

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' = {
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: 'Standard_LRS' }
  properties: {
    allowSharedKeyAccess: false // Entra identities only
    allowBlobPublicAccess: false
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    publicNetworkAccess: publicAccess ? 'Enabled' : 'Disabled'
    networkAcls: {
      defaultAction: publicAccess ? 'Allow' : 'Deny'
      bypass: publicAccess ? 'AzureServices' : 'None'
    }
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

// The app creates a missing table at its first use; created here, no request waits for that.
resource table 'Microsoft.Storage/storageAccounts/tableServices/tables@2025-06-01' = [
  for tableName in ['audit', 'authors', 'bans', 'blocks', 'deletions', 'history', 'logs', 'memberships', 'names', 'presence', 'profiles', 'reports', 'revocations', 'rooms', 'streams', 'subscriptions', 'versions']: {
    parent: account::tables
    name: tableName
  }
]

resource roles 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
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

output id string = account.id
output blobEndpoint string = account.properties.primaryEndpoints.blob
output tablesEndpoint string = account.properties.primaryEndpoints.table
output packages string = '${account.properties.primaryEndpoints.blob}${account::blobs::packages.name}'
