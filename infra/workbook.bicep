// A workbook with the charts that docs/operate.md refers to.
param location string
param tags object
param workspaceId string
param webPubSubId string

var content = replace(
  replace(loadTextContent('workbook.json'), '<workspace>', workspaceId),
  '<webpubsub>',
  webPubSubId
)

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(workspaceId, 'townsquare')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'Townsquare'
    category: 'workbook'
    sourceId: workspaceId
    serializedData: content
  }
}
