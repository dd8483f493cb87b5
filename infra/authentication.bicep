// App Service Authentication with Entra ID, for IDENTITY=easyauth.
param app string
param clientId string
param webhookAudience string

var audiences = [
  clientId
  'api://${clientId}'
  webhookAudience
  replace(webhookAudience, 'api://', '')
]

resource site 'Microsoft.Web/sites@2025-05-01' existing = {
  name: app
}

resource authentication 'Microsoft.Web/sites/config@2025-05-01' = {
  parent: site
  name: 'authsettingsV2'
  properties: {
    platform: { enabled: true }
    globalValidation: {
      requireAuthentication: false
      // The app itself returns 401 where it needs an identity; servers send a function key.
      unauthenticatedClientAction: 'AllowAnonymous'
    }
    identityProviders: {
      azureActiveDirectory: {
        enabled: true
        registration: {
          clientId: clientId
          clientSecretSettingName: 'OVERRIDE_USE_MI_FIC_ASSERTION_CLIENTID'
          openIdIssuer: '${environment().authentication.loginEndpoint}${tenant().tenantId}/v2.0'
        }
        validation: {
          // A bearer token for any other audience gets a 401 before it reaches the app, also
          // with AllowAnonymous. Web PubSub's token is for webhookAudience, and the app checks it.
          allowedAudiences: filter(audiences, audience => !empty(audience))
        }
      }
    }
    login: { tokenStore: { enabled: false } }
  }
}
