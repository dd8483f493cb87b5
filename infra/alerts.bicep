// What somebody should be woken for; docs/operate.md tells what to do then.
param tags object
param email string
param webPubSubId string
param insightsId string

var alerts = [
  {
    name: 'connections-near-the-limit'
    description: 'More than 80 % of the connections that the units allow are in use: add a unit.'
    scope: webPubSubId
    metric: 'ConnectionQuotaUtilization'
    aggregation: 'Maximum'
    above: 80
  }
  {
    name: 'web-pubsub-is-busy'
    description: 'Web PubSub is above 70 % load, where delays begin: add a unit.'
    scope: webPubSubId
    metric: 'ServerLoad'
    aggregation: 'Average'
    above: 70
  }
  {
    name: 'requests-fail'
    description: 'More than ten requests failed within five minutes: look at Failures in Application Insights.'
    scope: insightsId
    metric: 'requests/failed'
    aggregation: 'Count'
    above: 10
  }
]

resource people 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: 'townsquare'
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: 'townsquare'
    emailReceivers: [{ name: 'mail', emailAddress: email, useCommonAlertSchema: true }]
  }
}

resource rules 'Microsoft.Insights/metricAlerts@2018-03-01' = [
  for alert in alerts: {
    name: alert.name
    location: 'global'
    tags: tags
    properties: {
      description: alert.description
      enabled: true
      severity: 2
      scopes: [alert.scope]
      evaluationFrequency: 'PT1M'
      windowSize: 'PT5M'
      criteria: {
        'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
        allOf: [
          {
            criterionType: 'StaticThresholdCriterion'
            name: 'above'
            metricName: alert.metric
            operator: 'GreaterThan'
            threshold: alert.above
            timeAggregation: alert.aggregation
          }
        ]
      }
      actions: [{ actionGroupId: people.id }]
    }
  }
]
