// App Service Authentication: signs people in with Entra ID, for IDENTITY=easyauth.
param app string
param clientId string

resource site 'Microsoft.Web/sites@2024-04-01' existing = {
  name: app
}

resource authentication 'Microsoft.Web/sites/config@2024-04-01' = {
  parent: site
  name: 'authsettingsV2'
  properties: {
    platform: { enabled: true }
    globalValidation: {
      requireAuthentication: false
      // The app answers 401 where it needs to know who calls; servers come with a function key.
      unauthenticatedClientAction: 'AllowAnonymous'
      // Web PubSub's own token is for our webhook, which checks it.
      excludedPaths: ['/api/pubsub/events']
    }
    identityProviders: {
      azureActiveDirectory: {
        enabled: true
        registration: {
          clientId: clientId
          clientSecretSettingName: 'OVERRIDE_USE_MI_FIC_ASSERTION_CLIENTID'
          openIdIssuer: '${environment().authentication.loginEndpoint}${tenant().tenantId}/v2.0'
        }
      }
    }
    login: { tokenStore: { enabled: false } }
  }
}
