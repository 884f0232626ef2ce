-- The status has the shape of kstatus: observedGeneration at the top, Ready always, Reconciling and Stalled only while they
-- hold. A deleted resource never gets here; Argo CD itself calls it Progressing. A suspended resource is Ready as long as all that
-- was asked for before has been sent, and Stalled otherwise, so that neither holds up a sync wave.
local health = { status = "Progressing", message = "Waiting for unstructured-operator" }

if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return health
end

local conditions = {}
for _, condition in ipairs(obj.status.conditions or {}) do
  conditions[condition.type] = condition
end

local function holds(kind)
  return conditions[kind] ~= nil and conditions[kind].status == "True"
end

local ready = conditions.Ready
if ready == nil then
  return health
end
health.message = ready.message

if holds("Stalled") then
  health.status = "Degraded"
  health.message = conditions.Stalled.message
elseif holds("Reconciling") then
  health.status = "Progressing"
elseif holds("Ready") then
  health.status = "Healthy"
else
  health.status = "Degraded"
end
return health
