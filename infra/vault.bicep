// The one secret there is: what guests' sessions are signed with. Made once, seen by nobody.
param name string
param location string
param tags object
param principalId string

@secure()
@description('Chance; used the first time only.')
param chance string = '${newGuid()}${newGuid()}'

var secretsUser = '4633458b-17de-408a-b874-0445c86b69e6'

resource vault 'Microsoft.KeyVault/vaults@2023-07-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    tenantId: tenant().tenantId
    sku: { family: 'A', name: 'standard' }
    enableRbacAuthorization: true
    enableSoftDelete: true
  }
}

// A new secret would make every guest a stranger, so what is there stays, from wherever one deploys.
@onlyIfNotExists()
resource sessionSecret 'Microsoft.KeyVault/vaults/secrets@2023-07-01' = {
  parent: vault
  name: 'session-secret'
  properties: { value: chance }
}

resource right 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: vault
  name: guid(vault.id, principalId, secretsUser)
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', secretsUser)
  }
}

output name string = vault.name
output sessionSecretUri string = '${vault.properties.vaultUri}secrets/${sessionSecret.name}'
