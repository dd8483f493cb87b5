// Alerts by mail; docs/operate.md says how to respond to each.
param location string
param tags object
param email string
param webPubSubId string
param insightsId string
param workspaceId string
param appUrl string

var metricRules = [
  {
    name: 'connections-near-the-limit'
    description: 'More than 80 % of the connections that the units allow are in use: add a unit.'
    metric: 'ConnectionQuotaUtilization'
    aggregation: 'Maximum'
    threshold: 80
  }
  {
    name: 'web-pubsub-is-busy'
    description: 'The server load of Web PubSub is above 70 %: add a unit or slow the streams.'
    metric: 'ServerLoad'
    aggregation: 'Average'
    threshold: 70
  }
]

// A request that the app rejects (4xx) is no failure of the app, so the rules read status and code.
// host.json lets the host record a request only if its function has raised an error. What the app
// itself answers with 503 is in its metric of errors.
var queryRules = [
  {
    name: 'requests-fail'
    description: 'More than ten requests or events failed with a 5xx status within five minutes: see Failures in Application Insights, and the errors by code in the workbook.'
    query: 'union (AppRequests | where toint(ResultCode) >= 500 | summarize failed = toreal(count())), (AppMetrics | where Name == "townsquare.errors" and tostring(Properties.code) in ("access_changed", "busy", "moderation_unavailable", "unavailable") | summarize failed = sum(Sum)) | summarize failed = sum(failed) | where failed > 10'
    window: 'PT5M'
    frequency: 'PT5M'
    threshold: 0
  }
  {
    name: 'stream-stands-still'
    description: 'A stream has had subscribers for some of the last 15 minutes and no tick: see the function run_streams.'
    query: 'AppMetrics | where Name in ("townsquare.stream.age", "townsquare.stream.subscribed") | summarize ticks = countif(Name == "townsquare.stream.age"), minutes = dcountif(bin(TimeGenerated, 1m), Name == "townsquare.stream.subscribed") by stream = tostring(Properties.stream) | where ticks == 0 and minutes > 2'
    window: 'PT15M'
    frequency: 'PT15M'
    threshold: 0
  }
]

resource recipients 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: 'townsquare'
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: 'townsquare'
    emailReceivers: [{ name: 'mail', emailAddress: email, useCommonAlertSchema: true }]
  }
}

resource metricAlerts 'Microsoft.Insights/metricAlerts@2018-03-01' = [
  for rule in metricRules: {
    name: rule.name
    location: 'global'
    tags: tags
    properties: {
      description: rule.description
      enabled: true
      severity: 2
      scopes: [webPubSubId]
      evaluationFrequency: 'PT1M'
      windowSize: 'PT5M'
      criteria: {
        'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
        allOf: [
          {
            criterionType: 'StaticThresholdCriterion'
            name: 'above'
            metricName: rule.metric
            operator: 'GreaterThan'
            threshold: rule.threshold
            timeAggregation: rule.aggregation
          }
        ]
      }
      actions: [{ actionGroupId: recipients.id }]
    }
  }
]

resource queryAlerts 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [
  for rule in queryRules: {
    name: rule.name
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: rule.name
      description: rule.description
      enabled: true
      severity: 2
      scopes: [workspaceId]
      evaluationFrequency: rule.frequency
      windowSize: rule.window
      // The tables have no columns before the first telemetry arrives.
      skipQueryValidation: true
      autoMitigate: true
      criteria: {
        allOf: [
          {
            query: rule.query
            timeAggregation: 'Count'
            operator: 'GreaterThan'
            threshold: rule.threshold
          }
        ]
      }
      actions: { actionGroups: [recipients.id] }
    }
  }
]

resource availabilityTest 'Microsoft.Insights/webtests@2022-06-15' = {
  name: 'health'
  location: location
  tags: union(tags, { 'hidden-link:${insightsId}': 'Resource' })
  kind: 'standard'
  properties: {
    SyntheticMonitorId: 'health'
    Name: 'health'
    Enabled: true
    Kind: 'standard'
    Frequency: 900
    Timeout: 30
    RetryEnabled: true
    Locations: [
      { Id: 'us-va-ash-azr' }
      { Id: 'emea-nl-ams-azr' }
      { Id: 'apac-sg-sin-azr' }
    ]
    Request: { RequestUrl: '${appUrl}/api/health', HttpVerb: 'GET', ParseDependentRequests: false }
    ValidationRules: { ExpectedHttpStatusCode: 200 }
  }
}

resource availabilityAlert 'Microsoft.Insights/metricAlerts@2018-03-01' = {
  name: 'app-is-down'
  location: 'global'
  tags: tags
  properties: {
    description: '/api/health does not return 200 for two of three locations: see the app and what it depends on.'
    enabled: true
    severity: 1
    scopes: [availabilityTest.id, insightsId]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M'
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.WebtestLocationAvailabilityCriteria'
      webTestId: availabilityTest.id
      componentId: insightsId
      failedLocationCount: 2
    }
    actions: [{ actionGroupId: recipients.id }]
  }
}
